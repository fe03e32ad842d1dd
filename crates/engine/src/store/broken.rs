//! What redb says when something fails, and what a store is to do about it.
//!
//! Decision: **an error of the operating system is tried again**, as it may pass; everything else says that the file is not
//! what was written, and ends the store.

use std::any::Any;
use std::io;

use super::medium::Failure;
use super::schema;

/// What a panic said.
pub(super) fn said(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("it cannot be read")
}

/// Whatever went wrong in a transaction.
pub(super) enum Broken {
    Redb(redb::Error),
    Schema(schema::Error),
}

impl Broken {
    pub(super) fn failure(self) -> Failure {
        let error = match self {
            Broken::Redb(error) | Broken::Schema(schema::Error::Redb(error)) => error,
            Broken::Schema(error) => return Failure::Broken(error.to_string().into()),
        };
        match error {
            redb::Error::Io(cause) if is_full(&cause) => Failure::Full(cause.to_string().into()),
            redb::Error::Io(cause) if is_foreign(&cause) => {
                Failure::Broken(format!("it is damaged, or no state file: {cause}").into())
            }
            redb::Error::Io(_) | redb::Error::PreviousIo | redb::Error::DatabaseClosed => {
                Failure::Io(error.to_string().into())
            }
            redb::Error::DatabaseAlreadyOpen => Failure::Broken("another process has it open".into()),
            redb::Error::Corrupted(why) => Failure::Broken(format!("it is damaged: {why}").into()),
            other => Failure::Broken(other.to_string().into()),
        }
    }
}

/// What redb says of a file that is not its own, and what a file says that was cut off.
fn is_foreign(cause: &io::Error) -> bool {
    matches!(cause.kind(), io::ErrorKind::InvalidData | io::ErrorKind::UnexpectedEof)
}

fn is_full(cause: &io::Error) -> bool {
    matches!(cause.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}

impl<E: Into<redb::Error>> From<E> for Broken {
    fn from(error: E) -> Broken {
        Broken::Redb(error.into())
    }
}

impl From<schema::Error> for Broken {
    fn from(error: schema::Error) -> Broken {
        Broken::Schema(error)
    }
}
