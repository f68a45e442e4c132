//! Where in the kernel the program runs.

use std::fmt;

/// Where in the kernel the program runs on an interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// In the driver, before the kernel allocates a buffer.
    Native,
    /// In the network stack, because the driver has no XDP: several times slower.
    Generic,
}

impl Mode {
    /// The name in messages and lists.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Native => "native",
            Self::Generic => "generic",
        }
    }
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
