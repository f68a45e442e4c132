//! The stages of the packet path after the first: programs joined by tail calls.

/// Defines the stages once: the enum, their order in the map of programs, and the programs' names.
macro_rules! stages {
    ($($(#[doc = $doc:literal])+ $variant:ident = $program:literal,)+) => {
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
                match self { $(Self::$variant => $program,)+ }
            }
        }
    };
}

stages! {
    /// Looks at whatever the first stage left: finds its flow, answers for our addresses.
    Slow = "privatelink_slow",
    /// Opens a flow.
    Open = "privatelink_open",
    /// Carries an unusual packet of a flow.
    Carry = "privatelink_carry",
    /// Keeps segments small enough for both sides of a flow that opens.
    Clamp = "privatelink_clamp",
    /// Carries a packet of a flow whose ends are of different families.
    Translate = "privatelink_translate",
    /// Carries a fragment of such a flow.
    TranslatePart = "privatelink_translate_part",
    /// Answers pings, and finds the flow that an ICMP error is about.
    Icmp = "privatelink_icmp",
    /// Translates an ICMP error, and the packet that it quotes.
    IcmpError = "privatelink_icmp_error",
    /// Translates an ICMP error about a packet of a flow whose ends are of different families.
    TranslateError = "privatelink_translate_error",
    /// Tells the sender of a refused packet.
    Answer = "privatelink_answer",
    /// Finds the flow of fragments.
    Fragment = "privatelink_fragment",
    /// Decides what reaches the host's own stack.
    Host = "privatelink_host",
    /// Ends a flow of an endpoint beyond its share, so that there is room for the one to be opened.
    Room = "privatelink_room",
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
