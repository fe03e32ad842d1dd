//! Whom a TLS connection trusts and who it says it is: the files of `tls:` as rustls wants them.
//!
//! Decision: the provider is named here, and is ring, so that no other crate's choice of one can change or break it.

use std::path::Path;
use std::sync::Arc;

use engine::registry::OpenError;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore};

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
                .with_client_auth_cert(certificates("tls.cert", cert)?, private_key(key)?)
                .map_err(|cause| problem("tls.cert and tls.key do not belong together", cause))?,
            _ => builder.with_no_client_auth(),
        };
        Ok(Trust { config: Arc::new(config), server_name: files.server_name.clone() })
    }
}

fn roots(ca: Option<&Path>) -> Result<RootCertStore, OpenError> {
    let mut roots = RootCertStore::empty();
    match ca {
        Some(path) => {
            for certificate in certificates("tls.ca", path)? {
                let message = || format!("tls.ca '{}' holds a certificate that cannot sign others", path.display());
                roots.add(certificate).map_err(|cause| problem(message(), cause))?;
            }
        }
        None => {
            roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
            if roots.is_empty() {
                let message = "this machine has no trusted certificates; name the broker's in tls.ca".to_owned();
                return Err(OpenError { message, cause: None });
            }
        }
    }
    Ok(roots)
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

fn private_key(path: &Path) -> Result<PrivateKeyDer<'static>, OpenError> {
    let message = || format!("cannot read tls.key '{}'; it must be a PEM file with a private key", path.display());
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
