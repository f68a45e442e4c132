//! The stages of the packet path after the first: programs joined by tail calls.

/// Defines the stages once: the enum, their order in the map of programs, and the programs' names.
macro_rules! stages {
    ($($(#[doc = $doc:literal])+ $variant:ident = $name:literal,)+) => {
        /// A later stage of the packet path; its number is its place in
        /// [`STAGES`](crate::maps::STAGES).
        #[repr(u32)]
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Stage {
            $($(#[doc = $doc])+ $variant,)+
        }

        impl Stage {
            /// Every stage, in the order of the map.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)+];

            /// Name of the program, and of its pin.
            pub const fn program(self) -> &'static str {
                match self { $(Self::$variant => concat!("privatelink_", $name),)+ }
            }

            /// Name of the program in the network stack, and of its pin.
            pub const fn tc_program(self) -> &'static str {
                match self { $(Self::$variant => concat!("privatelink_tc_", $name),)+ }
            }
        }
    };
}

stages! {
    /// Looks at whatever the first stage left: finds its flow, answers for our addresses.
    Slow = "slow",
    /// Opens a flow.
    Open = "open",
    /// Carries an unusual packet of a flow.
    Carry = "carry",
    /// Keeps segments small enough for both sides of a flow that opens.
    Clamp = "clamp",
    /// Carries a packet of a flow whose ends are of different families.
    Translate = "translate",
    /// Carries a fragment of such a flow.
    TranslatePart = "translate_part",
    /// Answers pings, and finds the flow that an ICMP error is about.
    Icmp = "icmp",
    /// Translates an ICMP error, and the packet that it quotes.
    IcmpError = "icmp_error",
    /// Translates an ICMP error about a packet of a flow whose ends are of different families.
    TranslateError = "translate_error",
    /// Tells the sender of a refused packet.
    Answer = "answer",
    /// Finds the flow of fragments.
    Fragment = "fragment",
    /// Decides what reaches the host's own stack.
    Host = "host",
    /// Ends a flow of an endpoint beyond its share, so that there is room for the one to be opened.
    Room = "room",
}

#[cfg(test)]
mod tests {
    use super::Stage;

    #[test]
    fn the_order_is_that_of_the_map() {
        for (index, stage) in Stage::ALL.iter().enumerate() {
            assert_eq!(*stage as usize, index);
        }
    }
}
