//! The one integration binary of the project. Everything that needs the built binary, a real
//! broker or the whole source tree is a module here, so that it links once; what a single module
//! can show is tested beside its code.

#![cfg(test)]

// The house rules that a machine can check: lengths, module docs, arrows, features, links.
mod tidy;

// An outside script judges what the simulator and the function make of a published driving cycle.
mod oracle;
