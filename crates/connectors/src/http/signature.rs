//! Signatures of bodies, as webhooks have them: an HMAC in a header.
//!
//! Written as GitHub and others write it, `sha256=` and hexadecimal digits. Reading also takes digits without the name in
//! front, and base64, because senders differ in nothing else. Comparing takes the same time whatever is wrong.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use engine::config::{Check, Secret, Spanned};
use engine::registry::OpenError;
use hyper::header::HeaderName;
use ring::hmac;
use schemars::JsonSchema;
use serde::Deserialize;

use crate::credentials;

/// The header that holds a signature, unless another is named.
const HEADER: &str = "x-hub-signature-256";

/// What stands under `hmac:`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Options {
    /// The header that holds the signature; `X-Hub-Signature-256` by default.
    header: Option<Spanned<String>>,
    /// What both sides know, such as `${env:WEBHOOK_SECRET}`.
    secret: Spanned<Secret>,
    /// How the signature is made; sha256 by default.
    #[serde(default)]
    algorithm: Algorithm,
}

/// How a signature is made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum Algorithm {
    /// HMAC with SHA-256.
    #[default]
    Sha256,
    /// HMAC with SHA-512.
    Sha512,
}

/// A checked signature, its secret unrevealed.
#[derive(Clone, Debug)]
pub struct Signature {
    header: HeaderName,
    secret: Secret,
    algorithm: Algorithm,
}

/// What makes and judges signatures.
pub struct Key {
    header: HeaderName,
    name: &'static str,
    key: hmac::Key,
}

impl Signature {
    /// Checks what stands under `hmac:`; nothing if something is wrong with it.
    pub fn check(typed: &Options, check: &mut Check) -> Option<Signature> {
        credentials::secret(&typed.secret, "${env:WEBHOOK_SECRET}", check);
        if typed.secret.value.literal() == Some("") {
            check.error(typed.secret.span, "the secret is empty", "such as ${env:WEBHOOK_SECRET}");
        }
        let header = match &typed.header {
            None => HeaderName::from_static(HEADER),
            Some(name) => match HeaderName::try_from(name.as_str()) {
                Ok(name) => name,
                Err(_) => {
                    check.error(name.span, "this cannot be the name of a header", "such as X-Hub-Signature-256");
                    return None;
                }
            },
        };
        Some(Signature { header, secret: typed.secret.value.clone(), algorithm: typed.algorithm })
    }

    /// Reveals the secret; `key` is where `hmac:` stands, such as `http.auth.hmac`.
    ///
    /// # Errors
    /// [`OpenError`] names the key and the reference, never a value.
    pub fn open(&self, key: &str) -> Result<Key, OpenError> {
        let key = format!("{key}.secret");
        let secret = credentials::reveal(&key, &self.secret)?;
        if secret.is_empty() {
            return Err(OpenError { message: format!("{key} is empty"), cause: None });
        }
        let (name, algorithm) = match self.algorithm {
            Algorithm::Sha256 => ("sha256", hmac::HMAC_SHA256),
            Algorithm::Sha512 => ("sha512", hmac::HMAC_SHA512),
        };
        Ok(Key { header: self.header.clone(), name, key: hmac::Key::new(algorithm, secret.as_bytes()) })
    }
}

impl Key {
    /// The header that holds the signature.
    #[must_use]
    pub fn header(&self) -> &HeaderName {
        &self.header
    }

    /// The signature of a body, as it is written into the header.
    #[must_use]
    pub fn sign(&self, body: &[u8]) -> String {
        let mut text = format!("{}=", self.name);
        for byte in hmac::sign(&self.key, body).as_ref() {
            text.extend([byte >> 4, byte & 15].map(|digit| char::from_digit(u32::from(digit), 16).unwrap_or('0')));
        }
        text
    }

    /// Whether `shown` is the signature of `body`.
    #[must_use]
    pub fn verify(&self, shown: &[u8], body: &[u8]) -> bool {
        let shown = shown.trim_ascii();
        let digits = shown.strip_prefix(self.name.as_bytes()).and_then(|rest| rest.strip_prefix(b"=")).unwrap_or(shown);
        let bytes = hexadecimal(digits).or_else(|| BASE64_STANDARD.decode(digits).ok());
        bytes.is_some_and(|bytes| hmac::verify(&self.key, body, &bytes).is_ok())
    }
}

/// The bytes that hexadecimal digits stand for.
fn hexadecimal(digits: &[u8]) -> Option<Vec<u8>> {
    let digit = |digit: &u8| char::from(*digit).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    let pairs = digits.chunks_exact(2);
    if !pairs.remainder().is_empty() {
        return None;
    }
    pairs.map(|pair| Some(digit(&pair[0])? << 4 | digit(&pair[1])?)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(algorithm: Algorithm, secret: &str) -> Key {
        let header = HeaderName::from_static(HEADER);
        Signature { header, secret: Secret::new(secret), algorithm }.open("http.auth.hmac").unwrap()
    }

    #[test]
    fn a_signature_is_what_others_make_of_the_same() {
        // From GitHub's documentation of its webhooks.
        let signed = key(Algorithm::Sha256, "It's a Secret to Everybody").sign(b"Hello, World!");
        assert_eq!(signed, "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17");
    }

    #[test]
    fn every_spelling_is_read_and_nothing_else_passes() {
        for algorithm in [Algorithm::Sha256, Algorithm::Sha512] {
            let key = key(algorithm, "k");
            let signed = key.sign(b"body");
            let digits = signed.split_once('=').unwrap().1;
            let base64 = BASE64_STANDARD.encode(hexadecimal(digits.as_bytes()).unwrap());
            for shown in [signed.as_str(), digits, &digits.to_uppercase(), &base64, &format!(" {signed} ")] {
                assert!(key.verify(shown.as_bytes(), b"body"), "{shown}");
                assert!(!key.verify(shown.as_bytes(), b"bodY"), "{shown}");
            }
            for shown in ["", "sha256=", "sha1=00", "zz", &digits[2..], &signed[..signed.len() - 1]] {
                assert!(!key.verify(shown.as_bytes(), b"body"), "{shown}");
            }
        }
        assert!(!key(Algorithm::Sha256, "other").verify(key(Algorithm::Sha256, "k").sign(b"x").as_bytes(), b"x"));
    }

    #[test]
    fn an_empty_secret_is_none() {
        let header = HeaderName::from_static(HEADER);
        let empty = Signature { header, secret: Secret::new(""), algorithm: Algorithm::Sha256 };
        let Err(error) = empty.open("http.auth.hmac") else { panic!("opened") };
        assert_eq!(error.message, "http.auth.hmac.secret is empty");
    }
}
