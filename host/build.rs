//! Says in one line what is missing where the component has not been built.

fn main() {
    println!("cargo:rerun-if-changed=component/sessile.wasm");
    println!("cargo:rerun-if-changed=../wit");
    if !std::path::Path::new("component/sessile.wasm").is_file() {
        println!("cargo:error=the component is not built yet: run `cargo xtask build` once");
        std::process::exit(1);
    }
}
