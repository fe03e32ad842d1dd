//! The binary with the built-in kinds. What it does is in the library, so that a binary with functions of its own is as
//! short as this one: see `examples/custom-function`.

use std::process::ExitCode;

/// Events are made on one thread and let go on another, which glibc's allocator pays with locks.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    tidemill::Tidemill::builtin().main()
}
