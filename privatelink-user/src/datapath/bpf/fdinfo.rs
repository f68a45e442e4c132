//! What the kernel reports about an open BPF object in `/proc/self/fdinfo`.
//!
//! The file holds the kind of the object and everything that is needed of it; a request by bpf(2)
//! would have to know the kind first.

use std::{
    fs, io,
    os::fd::{AsRawFd, BorrowedFd},
};

use aya_obj::generated::{BPF_F_RDONLY_PROG, bpf_map_type};

use super::mode::Mode;

/// An open BPF object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Object {
    /// A map.
    Map(Shape),
    /// A program, by its id.
    Program(u32),
    /// A program's attachment to an interface, which is 0 once the interface is gone.
    Link {
        /// Where the program is attached.
        hook: Hook,
        /// Index of the interface.
        ifindex: u32,
        /// Id of the program.
        program: u32,
    },
    /// An object of a kind that privatelink does not use.
    Other,
}

/// Where in the kernel a program is attached.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Hook {
    /// XDP.
    Xdp,
    /// The ingress of tc.
    Tc,
}

impl Hook {
    /// The hook of a mode.
    pub(super) const fn of(mode: Mode) -> Self {
        match mode {
            Mode::Native | Mode::Generic => Self::Xdp,
            Mode::Tc => Self::Tc,
        }
    }
}

/// What has to be equal before one map may be used in place of another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Shape {
    /// Number of the map's type.
    pub kind: u32,
    /// Bytes of a key.
    pub key_size: u32,
    /// Bytes of a value.
    pub value_size: u32,
    /// How many entries there may be.
    pub max_entries: u32,
    /// Flags of its creation.
    pub flags: u32,
}

impl Shape {
    /// The first difference from `wanted`, in words.
    pub(super) fn difference(&self, wanted: &Self) -> Option<String> {
        let fields = [
            ("type", self.kind, wanted.kind),
            ("key size", self.key_size, wanted.key_size),
            ("value size", self.value_size, wanted.value_size),
            ("capacity", self.max_entries, wanted.max_entries),
            ("flags", self.flags, wanted.flags),
        ];
        let mut differing = fields.iter().filter(|(_, found, wanted)| found != wanted);
        differing.next().map(|(what, found, wanted)| format!("{what} {found} instead of {wanted}"))
    }
}

/// Reads what `fd` is.
pub(super) fn read(fd: BorrowedFd<'_>) -> io::Result<Object> {
    let text = fs::read_to_string(format!("/proc/self/fdinfo/{}", fd.as_raw_fd()))?;
    Ok(parse(&text))
}

fn parse(text: &str) -> Object {
    let field = |name: &str| {
        text.lines()
            .filter_map(|line| line.split_once(':'))
            .find_map(|(key, value)| (key == name).then_some(value.trim()))
    };
    let number = |name| field(name).and_then(parse_number).unwrap_or(0);
    if field("map_type").is_some() {
        let kind = number("map_type");
        let mut flags = number("map_flags");
        if kind == bpf_map_type::BPF_MAP_TYPE_DEVMAP as u32 {
            // The kernel adds this one by itself.
            flags &= !BPF_F_RDONLY_PROG;
        }
        return Object::Map(Shape {
            kind,
            key_size: number("key_size"),
            value_size: number("value_size"),
            max_entries: number("max_entries"),
            flags,
        });
    }
    let link = |hook| Object::Link { hook, ifindex: number("ifindex"), program: number("prog_id") };
    match field("link_type") {
        Some("xdp") => link(Hook::Xdp),
        Some("tcx") => link(Hook::Tc),
        Some(_) => Object::Other,
        None if field("prog_type").is_some() => Object::Program(number("prog_id")),
        None => Object::Other,
    }
}

fn parse_number(text: &str) -> Option<u32> {
    match text.strip_prefix("0x") {
        Some(digits) => u32::from_str_radix(digits, 16).ok(),
        None => text.parse().ok(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_map_a_link_and_a_program_are_told_apart() {
        let map = "pos:\t0\nmap_type:\t2\nkey_size:\t4\nvalue_size:\t64\nmax_entries:\t256\n\
                   map_flags:\t0x400\nmemlock:\t16700\n";
        let shape = Shape { kind: 2, key_size: 4, value_size: 64, max_entries: 256, flags: 0x400 };
        assert_eq!(parse(map), Object::Map(shape));
        let link =
            "pos:\t0\nlink_type:\txdp\nlink_id:\t3\nprog_tag:\tab\nprog_id:\t9\nifindex:\t7\n";
        assert_eq!(parse(link), Object::Link { hook: Hook::Xdp, ifindex: 7, program: 9 });
        let link = "link_type:\ttcx\nprog_id:\t9\nifindex:\t7\nattach_type:\t46 (tcx_ingress)\n";
        assert_eq!(parse(link), Object::Link { hook: Hook::Tc, ifindex: 7, program: 9 });
        assert_eq!(parse("pos:\t0\nprog_type:\t6\nprog_id:\t12\n"), Object::Program(12));
        assert_eq!(parse("pos:\t0\nlink_type:\tnetkit\n"), Object::Other);
    }

    #[test]
    fn a_difference_names_the_first_field() {
        let wanted = Shape { kind: 1, key_size: 4, value_size: 64, max_entries: 8, flags: 0 };
        assert_eq!(wanted.difference(&wanted), None);
        let found = Shape { value_size: 24, max_entries: 9, ..wanted };
        assert_eq!(found.difference(&wanted).as_deref(), Some("value size 24 instead of 64"));
    }
}
