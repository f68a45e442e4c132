//! The stack usage of the functions of a BPF object.
//!
//! A stack slot is reached by an offset from r10, in a load or store or in the addition that
//! makes its address, and the compiler lets no address point below its frame: the lowest offset
//! is the size of the frame. The kernel counts the same way.

use std::collections::{BTreeMap, BTreeSet};

use object::{
    Object as _, ObjectSection as _, ObjectSymbol as _, RelocationTarget, SectionIndex, SymbolKind,
};

const CALL: u8 = 0x85;
/// Number of the helper that calls a function repeatedly.
const BPF_LOOP: i32 = 181;
/// The kernel inlines that loop, and saves three registers beyond the frame.
const LOOP_REGISTERS: u32 = 24;
/// Bytes of an instruction.
const INSTRUCTION: u64 = 8;

/// A section's number and an offset in it.
type Place = (usize, u64);

struct Function {
    name: String,
    section: usize,
    start: u64,
    end: u64,
    /// Bytes that the compiler has reserved.
    written: u32,
    /// The same with the bytes that the kernel adds.
    frame: u32,
    calls: BTreeSet<Place>,
}

/// The stack usage of a program.
pub struct Stack {
    /// Its deepest frame.
    pub deepest: u32,
    /// The function that has it.
    pub function: String,
    /// The frames of its deepest chain of calls, as the kernel adds them up.
    pub chain: u32,
    /// The functions of that chain, with the frame of each.
    pub links: String,
}

/// The stack usage of each program, with all functions that it reaches.
pub fn stacks(object: &[u8]) -> BTreeMap<String, Stack> {
    let file = object::File::parse(object).unwrap();
    let functions = functions(&file);
    let programs = functions.values().filter(|function| {
        let section = file.section_by_index(SectionIndex(function.section)).unwrap();
        section.name().is_ok_and(|name| name.starts_with("xdp") || name == "classifier")
    });
    let stack = |program: &Function| {
        let (function, deepest) = deepest_from(program, &functions);
        let (chain, links) = chain_from(program, &functions);
        Stack { deepest, function, chain, links }
    };
    programs.map(|program| (program.name.clone(), stack(program))).collect()
}

/// The verifier refuses recursion, so the chains end.
fn chain_from(function: &Function, functions: &BTreeMap<Place, Function>) -> (u32, String) {
    /// Older kernels round each frame up to this.
    const UNIT: u32 = 32;
    let called = function.calls.iter().filter_map(|place| functions.get(place));
    let (below, links) =
        called.map(|function| chain_from(function, functions)).max().unwrap_or_default();
    let frame = function.written.max(1).next_multiple_of(UNIT);
    (frame + below, format!("{} {frame} > {links}", function.name))
}

fn deepest_from(program: &Function, functions: &BTreeMap<Place, Function>) -> (String, u32) {
    let mut seen = BTreeSet::new();
    let mut open = vec![(program.section, program.start)];
    let mut deepest = (String::new(), 0);
    while let Some(place) = open.pop() {
        let Some(function) = functions.get(&place).filter(|_| seen.insert(place)) else { continue };
        if function.frame >= deepest.1 {
            deepest = (function.name.clone(), function.frame);
        }
        open.extend(&function.calls);
    }
    deepest
}

fn functions(file: &object::File<'_>) -> BTreeMap<Place, Function> {
    let mut functions = BTreeMap::new();
    for symbol in file.symbols().filter(|symbol| symbol.kind() == SymbolKind::Text) {
        let Some(SectionIndex(section)) = symbol.section_index() else { continue };
        let (start, end) = (symbol.address(), symbol.address() + symbol.size());
        let name = symbol.name().unwrap().to_owned();
        let calls = BTreeSet::new();
        functions.insert(
            (section, start),
            Function { name, section, start, end, written: 0, frame: 0, calls },
        );
    }
    for function in functions.values_mut() {
        read(file, function);
    }
    functions
}

fn read(file: &object::File<'_>, function: &mut Function) {
    const R10: u8 = 10;
    let section = file.section_by_index(SectionIndex(function.section)).unwrap();
    let code = section.data().unwrap();
    let relocated: BTreeMap<u64, RelocationTarget> =
        section.relocations().map(|(at, relocation)| (at, relocation.target())).collect();
    // Registers that are a copy of r10, to which an offset is yet to be added.
    let mut copies = BTreeSet::new();
    let (mut deepest, mut loops) = (0, false);
    for at in (function.start..function.end).step_by(INSTRUCTION as usize) {
        let bytes = &code[at as usize..(at + INSTRUCTION) as usize];
        let (opcode, destination, source) = (bytes[0], bytes[1] & 0xf, bytes[1] >> 4);
        let offset = i32::from(i16::from_le_bytes([bytes[2], bytes[3]]));
        let immediate = i32::from_le_bytes([bytes[4], bytes[5], bytes[6], bytes[7]]);
        match opcode & 7 {
            // A load's address is its source, a store's its destination.
            1 if source == R10 => deepest = deepest.min(offset),
            2 | 3 if destination == R10 => deepest = deepest.min(offset),
            _ => {}
        }
        const MOVE: u8 = 0xbf;
        const ADD: u8 = 0x07;
        if opcode == ADD && copies.contains(&destination) {
            deepest = deepest.min(immediate);
        }
        if opcode == MOVE && source == R10 {
            copies.insert(destination);
        } else if matches!(opcode & 7, 0 | 1 | 4 | 7) {
            copies.remove(&destination);
        }
        loops |= opcode == CALL && source == 0 && immediate == BPF_LOOP;
        function.calls.extend(callee(file, function.section, at, bytes, relocated.get(&at)));
    }
    let added = if loops { LOOP_REGISTERS } else { 0 };
    function.written = deepest.unsigned_abs().next_multiple_of(8);
    function.frame = function.written + added;
}

/// The function that an instruction calls, or whose address it takes for a helper to call.
fn callee(
    file: &object::File<'_>,
    section: usize,
    at: u64,
    bytes: &[u8],
    relocation: Option<&RelocationTarget>,
) -> Option<Place> {
    const LOAD_ADDRESS: u8 = 0x18;
    const OF_OURS: u8 = 1;
    if !matches!(bytes[0], CALL | LOAD_ADDRESS) {
        return None;
    }
    let immediate = i64::from(i32::from_le_bytes([bytes[4], bytes[5], bytes[6], bytes[7]]));
    let is_call = bytes[0] == CALL && bytes[1] >> 4 == OF_OURS;
    // Calls count from the next instruction, in instructions.
    let by_call = |from: u64| from.checked_add_signed((immediate + 1) * INSTRUCTION as i64);
    let Some(RelocationTarget::Symbol(index)) = relocation else {
        return is_call.then(|| by_call(at)).flatten().map(|place| (section, place));
    };
    let symbol = file.symbol_by_index(*index).unwrap();
    let SectionIndex(section) = symbol.section_index()?;
    if symbol.kind() == SymbolKind::Text {
        return Some((section, symbol.address()));
    }
    // The symbol may be the section's; then the function is where the instruction says.
    let offset = if is_call { by_call(0)? } else { u64::try_from(immediate).ok()? };
    (symbol.kind() == SymbolKind::Section).then_some((section, offset))
}
