//! `sessile-compose PLUG-IN STORE OUT`: makes one component of a plug-in and the store that it imports.
//!
//! The same as `wac plug PLUG-IN --plug STORE -o OUT`, for those who compose within a program.

use anyhow::{Context, Result, bail};
use wac_graph::types::Package;
use wac_graph::{CompositionGraph, EncodeOptions, plug};

fn main() -> Result<()> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [plug_in, store, out] = args.as_slice() else {
        bail!("usage: sessile-compose PLUG-IN STORE OUT");
    };
    let mut graph = CompositionGraph::new();
    let plug_in = Package::from_file("plug-in", None, plug_in, graph.types_mut())?;
    let plug_in = graph.register_package(plug_in)?;
    let store = Package::from_file("sessile:store", None, store, graph.types_mut())?;
    let store = graph.register_package(store)?;
    plug(&mut graph, vec![store], plug_in)?;
    let composed = graph.encode(EncodeOptions::default())?;
    std::fs::write(out, composed).with_context(|| format!("cannot write {out}"))
}
