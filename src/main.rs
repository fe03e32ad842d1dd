//! The binary with the built-in kinds. What it does is in the library, so that a binary with functions of its own is as
//! short as this one: see `examples/custom-function`.

use std::process::ExitCode;

fn main() -> ExitCode {
    // Events are made on one thread and let go on another, which glibc's allocator pays with locks. This one takes the place
    // of malloc, from which Rust has its memory too, once anything refers to it; as Rust's own global allocator it would be
    // asked for alignments that malloc has anyway, which is a slower path.
    let _ = mimalloc::MiMalloc.version();
    tidemill::Tidemill::builtin().main()
}
