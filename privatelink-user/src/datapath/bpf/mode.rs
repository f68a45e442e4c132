//! Where in the kernel the program runs.

use std::fmt;

/// Where in the kernel the program runs on an interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// In the driver, before the kernel allocates a buffer.
    Native,
    /// In the network stack, by XDP, because the driver has none: several times slower.
    Generic,
    /// In the network stack, by tc: frames as the kernel itself has them, joined and with checksums
    /// that it completes later.
    Tc,
}

impl Mode {
    /// XDP, in the driver if it can.
    pub const XDP: &'static [Self] = &[Self::Native, Self::Generic];

    /// The name in messages and lists.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Native => "native",
            Self::Generic => "generic",
            Self::Tc => "tc",
        }
    }
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
