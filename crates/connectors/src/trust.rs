//! Whom a TLS connection trusts and who it says it is, on either end: the files of `tls:` as rustls wants them.
//!
//! Decision: the provider is named here, and is ring, so that no other crate's choice of one can change or break it.

use std::path::Path;
use std::sync::Arc;

use engine::registry::OpenError;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{ClientConfig, RootCertStore, ServerConfig};

use crate::tls::Files;

/// What a TLS connection needs.
#[derive(Clone, Debug)]
pub struct Trust {
    /// For any number of connections.
    pub config: Arc<ClientConfig>,
    /// The name in the broker's certificate, if it is not the host of the address.
    pub server_name: Option<String>,
}

impl Trust {
    /// Reads the files. Without a CA of its own it trusts what this machine trusts.
    ///
    /// # Errors
    /// [`OpenError`] names the key and the file.
    pub fn load(files: &Files) -> Result<Trust, OpenError> {
        let builder = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(|cause| problem("this build offers no TLS version", cause))?
            .with_root_certificates(roots(files.ca.as_deref())?);
        let config = match (&files.cert, &files.key) {
            (Some(cert), Some(key)) => builder
                .with_client_auth_cert(certificates("tls.cert", cert)?, private_key("tls.key", key)?)
                .map_err(|cause| problem("tls.cert and tls.key do not belong together", cause))?,
            _ => builder.with_no_client_auth(),
        };
        Ok(Trust { config: Arc::new(config), server_name: files.server_name.clone() })
    }
}

/// How a server shows who it is, and asks its clients who they are if there is a `client_ca`; `section` is where the keys
/// `cert`, `key` and `clientCa` stand, such as `http.tls`.
///
/// # Errors
/// [`OpenError`] names the key and the file.
pub fn server(
    section: &str,
    cert: &Path,
    key: &Path,
    client_ca: Option<&Path>,
) -> Result<Arc<ServerConfig>, OpenError> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(|cause| problem("this build offers no TLS version", cause))?;
    let builder = match client_ca {
        None => builder.with_no_client_auth(),
        Some(path) => {
            let name = format!("{section}.clientCa");
            let roots = Arc::new(signers(&name, path)?);
            let verifier = WebPkiClientVerifier::builder_with_provider(roots, provider).build();
            builder.with_client_cert_verifier(
                verifier.map_err(|cause| problem(format!("{name} '{}' cannot be used", path.display()), cause))?,
            )
        }
    };
    let chain = certificates(&format!("{section}.cert"), cert)?;
    let private_key = private_key(&format!("{section}.key"), key)?;
    let config = builder
        .with_single_cert(chain, private_key)
        .map_err(|cause| problem(format!("{section}.cert and {section}.key do not belong together"), cause))?;
    Ok(Arc::new(config))
}

/// The certificates in a file that sign others.
fn signers(key: &str, path: &Path) -> Result<RootCertStore, OpenError> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(key, path)? {
        let message = || format!("{key} '{}' holds a certificate that cannot sign others", path.display());
        roots.add(certificate).map_err(|cause| problem(message(), cause))?;
    }
    Ok(roots)
}

fn roots(ca: Option<&Path>) -> Result<RootCertStore, OpenError> {
    match ca {
        Some(path) => signers("tls.ca", path),
        None => {
            let mut roots = RootCertStore::empty();
            roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
            if roots.is_empty() {
                let message = "this machine has no trusted certificates; name the broker's in tls.ca".to_owned();
                return Err(OpenError { message, cause: None });
            }
            Ok(roots)
        }
    }
}

fn certificates(key: &str, path: &Path) -> Result<Vec<CertificateDer<'static>>, OpenError> {
    let certificates: Vec<_> = CertificateDer::pem_file_iter(path)
        .and_then(Iterator::collect)
        .map_err(|cause| problem(format!("cannot read {key} '{}'; it must be a PEM file", path.display()), cause))?;
    if certificates.is_empty() {
        let message = format!("{key} '{}' holds no certificate; it must be a PEM file", path.display());
        return Err(OpenError { message, cause: None });
    }
    Ok(certificates)
}

fn private_key(key: &str, path: &Path) -> Result<PrivateKeyDer<'static>, OpenError> {
    let message = || format!("cannot read {key} '{}'; it must be a PEM file with a private key", path.display());
    PrivateKeyDer::from_pem_file(path).map_err(|cause| problem(message(), cause))
}

fn problem(message: impl Into<String>, cause: impl std::error::Error + Send + Sync + 'static) -> OpenError {
    OpenError { message: message.into(), cause: Some(Box::new(cause)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(files: &Files) -> String {
        match Trust::load(files) {
            Ok(_) => panic!("loaded {files:?}"),
            Err(problem) => problem.message,
        }
    }

    #[test]
    fn a_file_that_is_no_pem_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ca.pem");
        let files = Files { ca: Some(path.clone()), ..Files::default() };
        assert!(message(&files).starts_with("cannot read tls.ca '"));
        std::fs::write(&path, "no certificate").unwrap();
        assert!(message(&files).contains("holds no certificate"));
    }
}
