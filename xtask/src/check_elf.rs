//! `cargo xtask check-elf`: the BPF object is one that the kernel and the loader will take.

use anyhow::{Context as _, Result, ensure};

use crate::bpf::Toolchain;
use crate::elf::Shape;
use crate::setup;
use crate::step::Step;
use crate::workspace;

/// Builds the object and looks at it.
///
/// # Errors
/// When the object cannot be built or is not fit; all faults are named.
pub fn run() -> Result<()> {
    let root = workspace::root();
    let toolchain = setup::toolchain()?;
    Step::from(toolchain.cargo(&root, "build")).run()?;
    let path = Toolchain::object(&root);
    let bytes = std::fs::read(&path).with_context(|| format!("cannot read {}", path.display()))?;
    let shape =
        Shape::read(&bytes).with_context(|| format!("{} is not an ELF object", path.display()))?;
    let faults = shape.faults();
    ensure!(faults.is_empty(), "{}: {}", path.display(), faults.join("; "));
    println!("check-elf: {} bytes, {} maps", bytes.len(), shape.maps.len());
    for (kind, name) in &shape.programs {
        println!("check-elf: {kind} program {name}");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_fault_is_named() {
        let fit = Shape {
            programs: vec![("xdp".into(), "forward".into())],
            maps: Vec::new(),
            panics: Vec::new(),
            licence: b"Dual MIT/GPL\0".to_vec(),
            has_btf: true,
        };
        assert_eq!(fit.faults(), Vec::<String>::new());
        assert_eq!(Shape::default().faults().len(), 3);
        let panics = Shape { panics: vec!["core::panicking::panic".into()], ..fit };
        assert!(panics.faults()[0].contains("core::panicking::panic"));
    }

    #[test]
    fn something_else_is_not_an_object() {
        assert!(Shape::read(b"#!/bin/sh").is_err());
    }
}
