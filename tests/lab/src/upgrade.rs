//! A daemon of another release: the same, except for its programs.

use std::{fs, os::unix::fs::PermissionsExt, path::Path};

use anyhow::{Context, Result, bail, ensure};
use object::{Object, ObjectSection, SectionKind};

/// The first bytes of an ELF object for BPF: magic, 64 bit, little endian; the machine follows
/// later.
const BEGINNING: [u8; 6] = [0x7f, b'E', b'L', b'F', 2, 1];
/// The position of the machine.
const MACHINE: std::ops::Range<usize> = 18..20;
/// The number of BPF.
const BPF: [u8; 2] = [247, 0];
/// Bytes of an instruction.
const INSTRUCTION: usize = 8;
/// `dst = imm`, of 64 bits and of 32 bits, which clears the others.
const MOVE: u8 = 0xb7;
const MOVE_WORD: u8 = 0xb4;

/// Copies a daemon's binary to `copy`, with equivalent programs of different instructions.
///
/// # Errors
/// When the binary has no BPF object, or nothing in it can be replaced.
pub fn with_other_programs(binary: &Path, copy: &Path) -> Result<()> {
    let mut bytes =
        fs::read(binary).with_context(|| format!("cannot read {}", binary.display()))?;
    let starts: Vec<usize> = bytes
        .windows(MACHINE.end)
        .enumerate()
        .filter(|(_, window)| window.starts_with(&BEGINNING) && window.get(MACHINE) == Some(&BPF))
        .map(|(start, _)| start)
        .collect();
    let [start] = starts.as_slice() else {
        bail!("{} has {} BPF objects instead of one", binary.display(), starts.len());
    };
    let places = moves(bytes.get(*start..).unwrap_or_default())?;
    ensure!(!places.is_empty(), "the object of {} has nothing to replace", binary.display());
    for place in places {
        *bytes.get_mut(start + place).context("the place is in the file")? = MOVE_WORD;
    }
    fs::write(copy, bytes).with_context(|| format!("cannot write {}", copy.display()))?;
    fs::set_permissions(copy, fs::Permissions::from_mode(0o755))?;
    Ok(())
}

/// For each section of code, where its first move of a small positive number is.
fn moves(bytes: &[u8]) -> Result<Vec<usize>> {
    let object = object::File::parse(bytes).context("the BPF object is no ELF file")?;
    let mut places = Vec::new();
    for section in object.sections().filter(|section| section.kind() == SectionKind::Text) {
        let Some((start, _)) = section.file_range() else { continue };
        let start = usize::try_from(start)?;
        let instructions = section.data()?.as_chunks::<INSTRUCTION>().0;
        let found = instructions.iter().position(|instruction| {
            let [code, _, _, _, low, .., high] = *instruction;
            code == MOVE && low > 0 && high == 0
        });
        places.extend(found.map(|index| start + index * INSTRUCTION));
    }
    Ok(places)
}
