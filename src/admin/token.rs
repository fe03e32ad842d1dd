//! The admin token: comes from a file or the environment, is never printed, and is compared in constant time.

use std::fmt;
use std::path::{Path, PathBuf};

use subtle::ConstantTimeEq;

/// The environment variable that may hold the token.
pub const VARIABLE: &str = "TIDEMILL_ADMIN_TOKEN";

/// A shorter token could be guessed.
const LENGTH_MIN: usize = 16;

/// What a request must show where a token is set.
#[derive(Clone, PartialEq, Eq)]
pub struct Token(String);

/// A token cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TokenError {
    /// The file cannot be read.
    #[error("cannot read the admin token from '{0}'")]
    File(PathBuf, #[source] std::io::Error),
    /// Too short, or not made of visible ASCII characters.
    #[error(
        "the admin token in {0} is refused: it needs at least {LENGTH_MIN} visible ASCII characters without spaces; \
         `openssl rand -hex 24` makes a good one"
    )]
    Weak(String),
}

impl Token {
    /// The token from `file` if one is named, else from the variable's value, if there is any.
    ///
    /// # Errors
    /// [`TokenError`] when there is one that cannot be used.
    pub fn find(file: Option<&Path>, variable: Option<String>) -> Result<Option<Token>, TokenError> {
        if let Some(path) = file {
            let text = std::fs::read_to_string(path).map_err(|cause| TokenError::File(path.to_owned(), cause))?;
            return Token::new(text.trim_end(), || format!("'{}'", path.display())).map(Some);
        }
        match variable.filter(|text| !text.is_empty()) {
            Some(text) => Token::new(&text, || VARIABLE.to_owned()).map(Some),
            None => Ok(None),
        }
    }

    fn new(text: &str, place: impl FnOnce() -> String) -> Result<Token, TokenError> {
        match text.len() >= LENGTH_MIN && text.bytes().all(|byte| byte.is_ascii_graphic()) {
            true => Ok(Token(text.to_owned())),
            false => Err(TokenError::Weak(place())),
        }
    }

    /// Whether `shown` is this token. Takes as long for a wrong token as for the right one of the same length.
    #[must_use]
    pub fn matches(&self, shown: &[u8]) -> bool {
        self.0.as_bytes().ct_eq(shown).into()
    }

    /// The value of an `Authorization` header. Keep it out of errors and logs.
    pub(super) fn authorization(&self) -> String {
        format!("Bearer {}", self.0)
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[token]")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_counts_more_than_the_environment() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("token");
        std::fs::write(&path, "from-the-file-0123\n").unwrap();
        let token = Token::find(Some(&path), Some("from-the-environment".into())).unwrap().unwrap();
        assert!(token.matches(b"from-the-file-0123"));
        assert!(!token.matches(b"from-the-file-0124") && !token.matches(b"") && !token.matches(b"from-the-file-0123x"));
        assert_eq!(format!("{token:?}"), "[token]");
        let token = Token::find(None, Some("from-the-environment".into())).unwrap().unwrap();
        assert!(token.matches(b"from-the-environment"));
        assert_eq!(Token::find(None, Some(String::new())).unwrap(), None);
    }

    #[test]
    fn a_weak_or_absent_token_is_refused_without_being_shown() {
        for text in ["hunter2", "with spaces in between", "pässwörter-überall"] {
            let sentence = Token::find(None, Some(text.to_owned())).unwrap_err().to_string();
            assert!(sentence.contains(VARIABLE) && !sentence.contains(text), "{sentence}");
        }
        assert!(matches!(Token::find(Some(Path::new("/no/such")), None), Err(TokenError::File(..))));
    }
}
