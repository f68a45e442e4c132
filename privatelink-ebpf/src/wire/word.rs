//! Words of a header, at any alignment.
//!
//! Headers begin two bytes off a word boundary. The processors that matter load and store words
//! there in one instruction, and so does BPF; but the compiler must assume less, and would load
//! bytes. So the instructions are spelled out for BPF, here and nowhere else.
//!
//! A value is the bytes as they lie in memory, as one number of the machine.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

/// A header: any bytes are one, wherever they begin.
pub trait Wire: FromBytes + IntoBytes + Unaligned + Immutable + KnownLayout {}

impl<T: FromBytes + IntoBytes + Unaligned + Immutable + KnownLayout> Wire for T {}

macro_rules! word {
    ($value:ty, $register:ty, $class:ident, $size:literal, $kind:literal, $load:ident, $store:ident) => {
        /// The word at an offset of a header; beyond its end does not compile.
        #[inline(always)]
        pub fn $load<H: Wire, const AT: usize>(header: &H) -> $value {
            const { assert!(AT + $size <= size_of::<H>()) };
            #[cfg(target_arch = "bpf")]
            {
                let value: $register;
                // SAFETY: loads bytes of `header`, which is borrowed; checked above.
                #[expect(unsafe_code, reason = "an unaligned load in one instruction")]
                unsafe {
                    core::arch::asm!(
                        concat!("{value} = *(", $kind, " *)({header} + {at})"),
                        value = out($class) value,
                        header = in(reg) header,
                        at = const AT,
                        options(nostack, readonly, pure),
                    );
                }
                value as $value
            }
            #[cfg(not(target_arch = "bpf"))]
            {
                let mut bytes = [0; $size];
                bytes.copy_from_slice(&header.as_bytes()[AT..AT + $size]);
                <$value>::from_ne_bytes(bytes)
            }
        }

        /// Puts a word at an offset of a header; beyond its end does not compile.
        #[inline(always)]
        pub fn $store<H: Wire, const AT: usize>(header: &mut H, value: $value) {
            const { assert!(AT + $size <= size_of::<H>()) };
            #[cfg(target_arch = "bpf")]
            // SAFETY: stores to bytes of `header`, which is borrowed exclusively; checked above.
            #[expect(unsafe_code, reason = "an unaligned store in one instruction")]
            unsafe {
                core::arch::asm!(
                    concat!("*(", $kind, " *)({header} + {at}) = {value}"),
                    value = in($class) <$register>::from(value),
                    header = in(reg) header,
                    at = const AT,
                    options(nostack),
                );
            }
            #[cfg(not(target_arch = "bpf"))]
            header.as_mut_bytes()[AT..AT + $size].copy_from_slice(&value.to_ne_bytes());
        }
    };
}

word!(u16, u32, wreg, 2, "u16", load16, store16);
word!(u32, u32, wreg, 4, "u32", load32, store32);

/// The bits of a value that a mask has, by an instruction that the compiler cannot leave out.
///
/// It may know that the value has no others; the verifier, above all that of older kernels, does not
/// follow it.
#[inline(always)]
pub fn masked<const MASK: u32>(value: u32) -> u32 {
    #[cfg(target_arch = "bpf")]
    {
        let mut value = value;
        // SAFETY: changes nothing but a register.
        #[expect(unsafe_code, reason = "an instruction that the compiler must not leave out")]
        unsafe {
            core::arch::asm!(
                "{value} &= {mask}",
                value = inout(wreg) value,
                mask = const MASK,
                options(nostack, nomem, pure),
            );
        }
        value
    }
    #[cfg(not(target_arch = "bpf"))]
    {
        value & MASK
    }
}

/// Accessors of a header's fields that are words: a getter, and a setter where one is named.
macro_rules! fields {
    ($header:ty: $($(#[doc = $doc:literal])+ $field:ident: $kind:ident $(= $set:ident)?;)+) => {
        impl $header {
            $(
                $(#[doc = $doc])+
                #[inline(always)]
                pub fn $field(&self) -> $kind {
                    const AT: usize = core::mem::offset_of!($header, $field);
                    $crate::wire::word::load!($kind, self, AT)
                }

                $(
                    #[doc = concat!("Replaces [`Self::", stringify!($field), "`].")]
                    #[inline(always)]
                    pub fn $set(&mut self, value: $kind) {
                        const AT: usize = core::mem::offset_of!($header, $field);
                        $crate::wire::word::store!($kind, self, AT, value);
                    }
                )?
            )+
        }
    };
}

macro_rules! load {
    (u16, $header:expr, $at:expr) => {
        $crate::wire::word::load16::<_, { $at }>($header)
    };
    (u32, $header:expr, $at:expr) => {
        $crate::wire::word::load32::<_, { $at }>($header)
    };
}

macro_rules! store {
    (u16, $header:expr, $at:expr, $value:expr) => {
        $crate::wire::word::store16::<_, { $at }>($header, $value)
    };
    (u32, $header:expr, $at:expr, $value:expr) => {
        $crate::wire::word::store32::<_, { $at }>($header, $value)
    };
}

pub(crate) use {fields, load, store};
