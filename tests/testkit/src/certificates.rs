//! Certificates made for one test: an authority, a server for the loopback interface and a client.
//! They are made at run time, so that none expires in the repository and no key is kept there.

use std::path::Path;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair};

/// Everything in PEM.
#[derive(Debug, Clone)]
pub struct Certificates {
    /// The authority that signed the other two.
    pub authority: String,
    /// Of a server at 127.0.0.1 and localhost.
    pub server: String,
    /// The server's private key.
    pub server_key: String,
    /// Of a client.
    pub client: String,
    /// The client's private key.
    pub client_key: String,
}

impl Certificates {
    /// Makes a new authority and the two certificates below it.
    #[must_use]
    pub fn generate() -> Self {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, "tidemill test authority");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let authority = CertifiedIssuer::self_signed(params, key()).expect("a self-signed one");
        let (server, server_key) =
            signed(&authority, &["localhost", "127.0.0.1"], "localhost", ExtendedKeyUsagePurpose::ServerAuth);
        let (client, client_key) = signed(&authority, &[], "tidemill", ExtendedKeyUsagePurpose::ClientAuth);
        Self { authority: authority.pem(), server, server_key, client, client_key }
    }

    /// Writes `authority.pem`, `server.pem`, `server.key`, `client.pem` and `client.key`.
    pub fn write(&self, folder: &Path) {
        for (name, text) in [
            ("authority.pem", &self.authority),
            ("server.pem", &self.server),
            ("server.key", &self.server_key),
            ("client.pem", &self.client),
            ("client.key", &self.client_key),
        ] {
            std::fs::write(folder.join(name), text).expect("the folder is writable");
        }
    }
}

fn key() -> KeyPair {
    KeyPair::generate().expect("a key pair")
}

fn signed(
    authority: &CertifiedIssuer<'_, KeyPair>,
    names: &[&str],
    common_name: &str,
    purpose: ExtendedKeyUsagePurpose,
) -> (String, String) {
    let names: Vec<_> = names.iter().map(|name| (*name).to_owned()).collect();
    let mut params = CertificateParams::new(names).expect("the names are valid");
    params.distinguished_name.push(DnType::CommonName, common_name);
    params.extended_key_usages = vec![purpose];
    let key = key();
    let certificate = params.signed_by(&key, authority).expect("the authority signs");
    (certificate.pem(), key.serialize_pem())
}
