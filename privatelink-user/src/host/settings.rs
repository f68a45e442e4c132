//! The kernel's settings of one interface, below `/proc/sys/net`.

use std::{fs, io, path::PathBuf};

/// Where they are; a thread sees those of its own network namespace.
const ROOT: &str = "/proc/sys/net";

/// One of the settings that each interface has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Setting {
    family: &'static str,
    key: &'static str,
}

impl Setting {
    /// One of IPv4's.
    pub const fn v4(key: &'static str) -> Self {
        Self { family: "ipv4", key }
    }

    /// One of IPv6's.
    pub const fn v6(key: &'static str) -> Self {
        Self { family: "ipv6", key }
    }

    /// Its name without the interface: `ipv4.accept_redirects`.
    pub fn short(&self) -> String {
        format!("{}.{}", self.family, self.key)
    }

    /// Its name as sysctl(8) has it.
    pub fn name(&self, interface: &str) -> String {
        // In a name the dots of an interface are slashes.
        let interface = interface.replace('.', "/");
        format!("net.{}.conf.{interface}.{}", self.family, self.key)
    }

    /// Its value at an interface; `None` if the kernel does not have it.
    pub fn read(&self, interface: &str) -> Option<String> {
        Some(fs::read_to_string(self.path(interface)).ok()?.trim().to_owned())
    }

    /// Its value as a number.
    pub fn number(&self, interface: &str) -> Option<i64> {
        self.read(interface)?.parse().ok()
    }

    /// Gives it a value.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn write(&self, interface: &str, value: &str) -> io::Result<()> {
        fs::write(self.path(interface), value)
    }

    fn path(&self, interface: &str) -> PathBuf {
        [ROOT, self.family, "conf", interface, self.key].iter().collect()
    }
}

/// Whether the host has IPv6 switched off on an interface.
pub fn is_ipv6_off(interface: &str) -> bool {
    Setting::v6("disable_ipv6").number(interface) == Some(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_one_that_sysctl_understands() {
        assert_eq!(Setting::v6("accept_ra").name("eth0.7"), "net.ipv6.conf.eth0/7.accept_ra");
        assert_eq!(Setting::v4("rp_filter").short(), "ipv4.rp_filter");
    }

    #[test]
    fn a_setting_that_is_not_there_has_no_value() {
        assert_eq!(Setting::v4("rp_filter").read("no-such-interface"), None);
        assert!(Setting::v4("rp_filter").number("lo").is_some());
    }
}
