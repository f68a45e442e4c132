//! Machine words that several CPUs read and write.
//!
//! `core` has no atomics for BPF. A volatile access of an aligned word is one instruction there,
//! which is all that a relaxed atomic would be; anything beyond a load or a store goes through the
//! datapath's compare-and-exchange.
//!
//! Relaxed loads and stores suffice. Counters and times need no order. The content of a slot is
//! published by its word, which is exchanged with a full barrier. A CPU whose loads run ahead of
//! that takes the slot for another flow's, and its packet goes to the slow stage, which searches
//! again; it never takes old content for a match, because a freed slot rests before it is reused.

macro_rules! word {
    ($(#[doc = $doc:literal])+ $name:ident, $value:ty, $atomic:ident) => {
        $(#[doc = $doc])+
        #[repr(transparent)]
        #[derive(Debug, Default)]
        pub struct $name(
            #[cfg(target_arch = "bpf")] core::cell::Cell<$value>,
            #[cfg(not(target_arch = "bpf"))] core::sync::atomic::$atomic,
        );

        impl $name {
            /// A word with this value.
            pub const fn new(value: $value) -> Self {
                #[cfg(target_arch = "bpf")]
                return Self(core::cell::Cell::new(value));
                #[cfg(not(target_arch = "bpf"))]
                return Self(core::sync::atomic::$atomic::new(value));
            }

            /// Loads the value, without ordering other accesses.
            #[inline(always)]
            pub fn load(&self) -> $value {
                // SAFETY: the cell is a live, aligned word.
                #[cfg(target_arch = "bpf")]
                return unsafe { self.0.as_ptr().read_volatile() };
                #[cfg(not(target_arch = "bpf"))]
                return self.0.load(core::sync::atomic::Ordering::Relaxed);
            }

            /// Replaces the value.
            #[inline(always)]
            pub fn store(&self, value: $value) {
                // SAFETY: the cell is a live, aligned word.
                #[cfg(target_arch = "bpf")]
                unsafe {
                    self.0.as_ptr().write_volatile(value);
                }
                #[cfg(not(target_arch = "bpf"))]
                self.0.store(value, core::sync::atomic::Ordering::Relaxed);
            }

            /// Where the word lies, for the atomic instructions of BPF.
            #[inline(always)]
            pub fn as_ptr(&self) -> *mut $value {
                self.0.as_ptr()
            }
        }
    };
}

word!(
    /// A 32-bit word.
    Word32, u32, AtomicU32
);
word!(
    /// A 64-bit word.
    Word64, u64, AtomicU64
);
word!(
    /// A 16-bit word.
    Word16, u16, AtomicU16
);

#[cfg(not(target_arch = "bpf"))]
impl Word32 {
    /// Replaces `old` by `new`, and returns whether the word was `old`; a full barrier.
    pub fn exchange(&self, old: u32, new: u32) -> bool {
        use core::sync::atomic::Ordering::SeqCst;
        self.0.compare_exchange(old, new, SeqCst, SeqCst).is_ok()
    }

    /// Adds one, and returns the value before; a full barrier.
    pub fn count_up(&self) -> u32 {
        self.0.fetch_add(1, core::sync::atomic::Ordering::SeqCst)
    }

    /// Adds atomically, modulo 2^32.
    pub fn add(&self, by: u32) {
        self.0.fetch_add(by, core::sync::atomic::Ordering::Relaxed);
    }
}

#[cfg(not(target_arch = "bpf"))]
impl Word64 {
    /// Replaces `old` by `new`, and returns whether the word was `old`; a full barrier.
    pub fn exchange(&self, old: u64, new: u64) -> bool {
        use core::sync::atomic::Ordering::SeqCst;
        self.0.compare_exchange(old, new, SeqCst, SeqCst).is_ok()
    }

    /// Adds atomically, modulo 2^64.
    pub fn add(&self, by: u64) {
        self.0.fetch_add(by, core::sync::atomic::Ordering::Relaxed);
    }
}
