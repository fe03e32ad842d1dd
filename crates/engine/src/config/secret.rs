//! Strings that may hold secrets: they cannot be printed, and their references are resolved only when an adapter opens.
//!
//! `${env:NAME}` stands for an environment variable and `${file:path}` for a file's content without its last line break.
//! `check` needs neither, so it never sees a secret.

use std::borrow::Cow;
use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::de::Visitor;
use serde::{Deserialize, Deserializer};

/// The name under which [`Secret`] asks for its text, so that whoever reads it knows that it must not be shown.
pub(super) const TOKEN: &str = "$tidemill::Secret";

/// Text as typed, with references still in it.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

/// A reference could not be resolved.
#[derive(Debug, thiserror::Error)]
pub enum SecretError {
    /// `${env:NAME}` names no variable.
    #[error("environment variable '{0}' is not set; set it, or correct the name in ${{env:{0}}}")]
    Variable(String),
    /// `${file:path}` cannot be read.
    #[error("cannot read '{0}' named in ${{file:{0}}}")]
    File(String, #[source] std::io::Error),
    /// `${` without a known kind or an end.
    #[error("'${{' begins a reference; write ${{env:NAME}} or ${{file:path}}")]
    Reference,
}

enum Part<'a> {
    Literal(&'a str),
    Variable(&'a str),
    File(&'a str),
}

impl Secret {
    /// A secret from its text, references included.
    #[must_use]
    pub fn new(text: impl Into<String>) -> Secret {
        Secret(text.into())
    }

    /// The text when it holds no reference, so that it can be checked before anything is resolved.
    #[must_use]
    pub fn literal(&self) -> Option<&str> {
        (!self.0.contains("${")).then_some(&self.0)
    }

    /// Whether every reference is well formed.
    ///
    /// # Errors
    /// [`SecretError::Reference`] when one is not.
    pub fn check(&self) -> Result<(), SecretError> {
        parts(&self.0).map(|_| ())
    }

    /// The text with its references resolved. Keep the answer out of errors, logs and `Debug`.
    ///
    /// # Errors
    /// [`SecretError`] names the reference, never a value.
    pub fn reveal(&self) -> Result<String, SecretError> {
        parts(&self.0)?.into_iter().try_fold(String::new(), |mut text, part| {
            match part {
                Part::Literal(literal) => text.push_str(literal),
                Part::Variable(name) => {
                    text.push_str(&std::env::var(name).map_err(|_| SecretError::Variable(name.to_owned()))?);
                }
                Part::File(path) => {
                    let content =
                        std::fs::read_to_string(path).map_err(|cause| SecretError::File(path.to_owned(), cause))?;
                    text.push_str(content.strip_suffix("\r\n").or(content.strip_suffix('\n')).unwrap_or(&content));
                }
            }
            Ok(text)
        })
    }
}

fn parts(text: &str) -> Result<Vec<Part<'_>>, SecretError> {
    let mut parts = Vec::new();
    let mut rest = text;
    while let Some((literal, after)) = rest.split_once("${") {
        let (reference, tail) = after.split_once('}').ok_or(SecretError::Reference)?;
        parts.push(Part::Literal(literal));
        parts.push(match reference.split_once(':') {
            Some(("env", name)) if !name.is_empty() => Part::Variable(name),
            Some(("file", path)) if !path.is_empty() => Part::File(path),
            _ => return Err(SecretError::Reference),
        });
        rest = tail;
    }
    parts.push(Part::Literal(rest));
    Ok(parts)
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[secret]")
    }
}

impl<'de> Deserialize<'de> for Secret {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Text;
        impl<'de> Visitor<'de> for Text {
            type Value = String;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string")
            }
            fn visit_newtype_struct<D: Deserializer<'de>>(self, inner: D) -> Result<String, D::Error> {
                String::deserialize(inner)
            }
            // Formats without newtypes hand over what is inside.
            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<String, E> {
                Ok(text.to_owned())
            }
        }
        deserializer.deserialize_newtype_struct(TOKEN, Text).map(Secret)
    }
}

impl JsonSchema for Secret {
    fn inline_schema() -> bool {
        true
    }
    fn schema_name() -> Cow<'static, str> {
        "Secret".into()
    }
    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        String::json_schema(generator)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_are_resolved_only_when_asked() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("password");
        std::fs::write(&path, "s3cret\n").unwrap();
        let secret = Secret::new(format!("a${{file:{}}}b", path.display()));
        assert_eq!(secret.literal(), None);
        assert!(secret.check().is_ok());
        assert_eq!(secret.reveal().unwrap(), "as3cretb");
        assert_eq!(format!("{secret:?}"), "[secret]");
    }

    #[test]
    fn errors_name_the_reference() {
        let message = Secret::new("${env:TIDEMILL_NO_SUCH}").reveal().unwrap_err().to_string();
        assert!(message.contains("TIDEMILL_NO_SUCH"), "{message}");
        for broken in ["${", "${env:}", "${vault:x}", "${env:A"] {
            assert!(matches!(Secret::new(broken).check(), Err(SecretError::Reference)), "{broken}");
        }
    }
}
