//! Fuzzes what the HTTPS process says to the daemon; built without the fuzzer, it plays the files that it is given.
#![cfg_attr(fuzzing, no_main)]

#[cfg(fuzzing)]
libfuzzer_sys::fuzz_target!(|input: &[u8]| {
    if let Err(fault) = privatelink_fuzz::messages(input) {
        panic!("{fault:?}");
    }
});

#[cfg(not(fuzzing))]
fn main() -> anyhow::Result<()> {
    privatelink_fuzz::replay(privatelink_fuzz::messages)
}
