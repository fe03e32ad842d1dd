//! The binary with the built-in kinds. What it does is in the library, so that a binary with functions of its own is as
//! short as this one: see `examples/custom-function`.

use std::process::ExitCode;

fn main() -> ExitCode {
    tidemill::Tidemill::builtin().main()
}
