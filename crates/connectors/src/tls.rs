//! `tls:` of a connection: which files say whom to trust and who we are.
//!
//! Options and what they mean, without a TLS library: clients that bring their own, such as librdkafka, want the paths.
//! What rustls makes of them is in `trust`.

use std::path::PathBuf;

use engine::config::{Check, Spanned};
use schemars::JsonSchema;
use serde::Deserialize;

/// What stands under `tls:`. Each is a PEM file.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Tls {
    /// The certificates that sign the broker's; what this machine trusts by default.
    ca: Option<Spanned<String>>,
    /// This client's certificate and what signs it.
    cert: Option<Spanned<String>>,
    /// The private key of `cert`.
    key: Option<Spanned<String>>,
    /// The name in the broker's certificate, where it is not the host of `url`.
    server_name: Option<Spanned<String>>,
}

/// The files of `tls:`, unread.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Files {
    /// Certificates that sign the broker's.
    pub ca: Option<PathBuf>,
    /// This client's certificate; there is one exactly when there is a key.
    pub cert: Option<PathBuf>,
    /// The private key of `cert`.
    pub key: Option<PathBuf>,
    /// The name in the broker's certificate, if it is not the host of the address.
    pub server_name: Option<String>,
}

/// What `tls:` means, nothing if it is not there.
pub fn check(typed: Option<&Spanned<Tls>>, check: &mut Check) -> Files {
    let Some(typed) = typed else { return Files::default() };
    match (&typed.cert, &typed.key) {
        (Some(cert), None) => check.error(cert.span, "cert has no key", "write key: with its private key"),
        (None, Some(key)) => check.error(key.span, "key has no cert", "write cert: with its certificate"),
        _ => {}
    }
    let path = |typed: &Option<Spanned<String>>| typed.as_ref().map(|path| path.value.clone().into());
    Files {
        ca: path(&typed.ca),
        cert: path(&typed.cert),
        key: path(&typed.key),
        server_name: typed.server_name.as_ref().map(|name| name.value.clone()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn files(json: &str) -> (Files, Vec<String>) {
        let typed: Spanned<Tls> = serde_json::from_str(json).unwrap();
        let mut found = Check::default();
        let files = check(Some(&typed), &mut found);
        (files, found.finish().into_iter().map(|problem| problem.message).collect())
    }

    #[test]
    fn paths_are_kept_as_written() {
        let (files, problems) = files(r#"{"ca":"a.pem","cert":"c.pem","key":"c.key","serverName":"mill"}"#);
        assert_eq!(problems, [""; 0]);
        assert_eq!(
            (files.ca, files.cert, files.key),
            (Some("a.pem".into()), Some("c.pem".into()), Some("c.key".into()))
        );
        assert_eq!(files.server_name.as_deref(), Some("mill"));
        assert_eq!(check(None, &mut Check::default()), Files::default());
    }

    #[test]
    fn a_certificate_and_its_key_come_together() {
        assert_eq!(files(r#"{"cert":"c.pem"}"#).1, ["cert has no key"]);
        assert_eq!(files(r#"{"key":"c.key"}"#).1, ["key has no cert"]);
    }
}
