//! Says in one line what is missing where the component has not been built.

fn main() {
    println!("cargo:rerun-if-changed=component/sessile.wasm");
    println!("cargo:rerun-if-changed=component/wit");
    let is_built = |path: &str| std::path::Path::new("component").join(path).exists();
    if !is_built("sessile.wasm") || !is_built("wit") {
        println!("cargo:error=the component is not built yet: run `cargo xtask build` once");
        std::process::exit(1);
    }
}
