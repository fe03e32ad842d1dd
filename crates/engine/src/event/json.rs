//! The JSON event format.
