//! What must hold for the BPF object before any kernel sees it. The suite `elf` of the tests
//! crate includes this file, and looks at the object inside the daemon with it.

use anyhow::Result;
use object::{Object as _, ObjectSection as _, ObjectSymbol as _, SymbolKind};

/// What the object declares, so that the kernel lets it call GPL-only helpers.
const LICENCE: &[u8] = b"Dual MIT/GPL\0";

/// What of an object matters here.
#[derive(Debug, Default)]
pub struct Shape {
    /// Entry points, by the kind of program that their section names.
    pub programs: Vec<(String, String)>,
    /// Maps, by name.
    pub maps: Vec<String>,
    /// Symbols that belong to Rust's panics.
    pub panics: Vec<String>,
    /// What the licence section says.
    pub licence: Vec<u8>,
    /// Whether it has type information.
    pub has_btf: bool,
}

impl Shape {
    /// Reads an ELF object.
    ///
    /// # Errors
    /// When it is not one.
    pub fn read(bytes: &[u8]) -> Result<Self> {
        let file = object::File::parse(bytes)?;
        let mut shape = Self::default();
        for symbol in file.symbols() {
            let name = symbol.name().unwrap_or_default().to_owned();
            if name.contains("panic") {
                shape.panics.push(name.clone());
            }
            let section = symbol.section_index().and_then(|i| file.section_by_index(i).ok());
            let Some(section) = section.filter(|_| symbol.is_global()) else { continue };
            let section = section.name().unwrap_or_default();
            if section == ".maps" {
                shape.maps.push(name);
            } else if symbol.kind() == SymbolKind::Text && !section.starts_with(".text") {
                // As in `xdp.frags`, what follows the point is an attribute of the program.
                let kind = section.split(['.', '/']).next().unwrap_or_default();
                shape.programs.push((kind.to_owned(), name));
            }
        }
        if let Some(section) = file.section_by_name("license") {
            shape.licence = section.data()?.to_vec();
        }
        shape.has_btf = file.section_by_name(".BTF").is_some();
        Ok(shape)
    }

    /// Why the kernel or the loader would refuse it; nothing when it is fit.
    pub fn faults(&self) -> Vec<String> {
        let mut faults = Vec::new();
        if !self.panics.is_empty() {
            // The kernel has nothing that could unwind, so the loader cannot resolve these.
            faults.push(format!("panics are left in it: {}", self.panics.join(", ")));
        }
        if self.licence != LICENCE {
            let licence = String::from_utf8_lossy(&self.licence);
            faults.push(format!("its licence is {licence:?}, not \"Dual MIT/GPL\""));
        }
        if !self.programs.iter().any(|(kind, _)| kind == "xdp") {
            faults.push("it has no XDP program".to_owned());
        }
        if !self.has_btf {
            faults.push("it has no BTF, which its map definitions need".to_owned());
        }
        faults
    }
}
