//! Words of a header, at any alignment.
//!
//! Headers begin two bytes off a word boundary. The processors that matter load and store words
//! there in one instruction, and so does BPF; but the compiler, which must assume less, would
//! take bytes. Hence the two instructions are spelled out for BPF, here and nowhere else.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

macro_rules! word {
    ($(#[doc = $doc:literal])+ $name:ident, $value:ty, $size:literal, $kind:literal) => {
        $(#[doc = $doc])+
        #[repr(transparent)]
        #[derive(
            Clone,
            Copy,
            Debug,
            Default,
            PartialEq,
            Eq,
            FromBytes,
            IntoBytes,
            Unaligned,
            Immutable,
            KnownLayout,
        )]
        pub struct $name(pub [u8; $size]);

        impl $name {
            /// The bytes as they lie in memory, as one number of the machine.
            #[inline(always)]
            pub fn get(&self) -> $value {
                #[cfg(target_arch = "bpf")]
                {
                    let value: u64;
                    // SAFETY: loads the bytes of `self`, which is borrowed.
                    #[expect(unsafe_code, reason = "an unaligned load in one instruction")]
                    unsafe {
                        core::arch::asm!(
                            concat!("{value} = *(", $kind, " *)({at} + 0)"),
                            value = out(reg) value,
                            at = in(reg) self,
                            options(nostack, readonly, pure),
                        );
                    }
                    value as $value
                }
                #[cfg(not(target_arch = "bpf"))]
                <$value>::from_ne_bytes(self.0)
            }

            /// Puts a number of the machine into the bytes as they lie in memory.
            #[inline(always)]
            pub fn set(&mut self, value: $value) {
                #[cfg(target_arch = "bpf")]
                // SAFETY: stores to the bytes of `self`, which is borrowed exclusively.
                #[expect(unsafe_code, reason = "an unaligned store in one instruction")]
                unsafe {
                    core::arch::asm!(
                        concat!("*(", $kind, " *)({at} + 0) = {value}"),
                        value = in(reg) u64::from(value),
                        at = in(reg) self,
                        options(nostack),
                    );
                }
                #[cfg(not(target_arch = "bpf"))]
                {
                    self.0 = value.to_ne_bytes();
                }
            }
        }
    };
}

word!(
    /// Two bytes.
    N16, u16, 2, "u16"
);
word!(
    /// Four bytes.
    N32, u32, 4, "u32"
);

impl N16 {
    /// The value of the bytes in network order.
    #[inline(always)]
    pub fn value(&self) -> u16 {
        u16::from_be(self.get())
    }
}
