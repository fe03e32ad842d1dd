//! Who we say we are to a server: user and password, a token, an nkey, or a credentials file.

use std::fmt;

use async_nats::ConnectOptions;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use engine::config::{Check, Secret, Spanned};
use engine::registry::OpenError;
use serde_json::{Map, Value};

use crate::credentials::{Login, reveal, secret};

/// The ways of saying so, as written; at most one of them is there.
#[derive(Clone, Debug, Default)]
pub struct Identity {
    login: Login,
    token: Option<Secret>,
    nkey: Option<Secret>,
    credentials: Option<String>,
}

/// Typed options by which an identity is written.
#[derive(Clone, Copy, Debug)]
pub struct Typed<'o> {
    /// The user name.
    pub user: Option<&'o Spanned<Secret>>,
    /// Its password.
    pub password: Option<&'o Spanned<Secret>>,
    /// A token.
    pub token: Option<&'o Spanned<Secret>>,
    /// The seed of an nkey.
    pub nkey: Option<&'o Spanned<Secret>>,
    /// The path of a credentials file.
    pub credentials: Option<&'o Spanned<String>>,
}

/// An identity with its secrets, which nothing shows.
#[derive(Clone, Default)]
pub enum Proof {
    /// Nobody in particular.
    #[default]
    None,
    /// A user, and perhaps a password.
    Login(String, String),
    /// A token.
    Token(String),
    /// The seed of an nkey.
    Nkey(String),
    /// A JWT and the seed that signs for it, and the file's whole text.
    Jwt {
        /// What the operator signed.
        jwt: String,
        /// What signs the server's challenge.
        seed: String,
        /// The file that holds both.
        file: String,
    },
}

impl fmt::Debug for Proof {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[secret]")
    }
}

impl Identity {
    /// Checks what is written. Two ways at once are an error.
    pub fn check(typed: Typed<'_>, check: &mut Check) -> Identity {
        let login = Login::check(typed.user, typed.password, "${env:NATS_PASSWORD}", check);
        for (typed, example) in [(typed.token, "${env:NATS_TOKEN}"), (typed.nkey, "${file:/etc/tidemill/nats.nk}")] {
            if let Some(typed) = typed {
                secret(typed, example, check);
            }
        }
        let ways = [
            ("user", typed.user.map(|typed| typed.span)),
            ("token", typed.token.map(|typed| typed.span)),
            ("nkey", typed.nkey.map(|typed| typed.span)),
            ("credentials", typed.credentials.map(|typed| typed.span)),
        ];
        let written: Vec<_> = ways.iter().filter_map(|(name, span)| Some((name, (*span)?))).collect();
        if let [(first, place), (second, span), ..] = written[..] {
            let message = format!("{second} is written beside {first}");
            check.clash(span, message, place, "the first way", "a server takes one of them; keep that");
        }
        let inner = |typed: Option<&Spanned<Secret>>| typed.map(|typed| typed.value.clone());
        Identity {
            login,
            token: inner(typed.token),
            nkey: inner(typed.nkey),
            credentials: typed.credentials.map(|typed| typed.value.clone()),
        }
    }

    /// Resolves references and reads the file.
    ///
    /// # Errors
    /// [`OpenError`] names the key and the file or reference, never a value.
    pub fn reveal(&self) -> Result<Proof, OpenError> {
        if let Some(path) = &self.credentials {
            let file = std::fs::read_to_string(path).map_err(|cause| OpenError {
                message: format!("cannot read nats.credentials '{path}'"),
                cause: Some(Box::new(cause)),
            })?;
            let part = |name: &str| {
                between(&file, name).map(str::to_owned).ok_or_else(|| OpenError {
                    message: format!("nats.credentials '{path}' has no {name}; write one with nsc"),
                    cause: None,
                })
            };
            let (jwt, seed) = (part("NATS USER JWT")?, part("USER NKEY SEED")?);
            valid(&seed, "nats.credentials")?;
            return Ok(Proof::Jwt { jwt, seed, file });
        }
        if let Some(nkey) = &self.nkey {
            let seed = reveal("nats.nkey", nkey)?.trim().to_owned();
            valid(&seed, "nats.nkey")?;
            return Ok(Proof::Nkey(seed));
        }
        if let Some(token) = &self.token {
            return Ok(Proof::Token(reveal("nats.token", token)?));
        }
        let login = self.login.reveal("nats")?;
        Ok(login.user.map_or(Proof::None, |user| Proof::Login(user, login.password.unwrap_or_default())))
    }
}

fn valid(seed: &str, key: &str) -> Result<(), OpenError> {
    match nkeys::KeyPair::from_seed(seed) {
        Ok(_) => Ok(()),
        Err(_) => {
            let message = format!("{key} holds no seed of an nkey; it begins with SU");
            Err(OpenError { message, cause: None })
        }
    }
}

/// What stands between the lines that begin and end a part of a credentials file.
fn between<'f>(file: &'f str, name: &str) -> Option<&'f str> {
    let (_, after) = file.split_once(&format!("BEGIN {name}-----"))?;
    after.trim_start_matches('-').lines().map(str::trim).find(|line| !line.is_empty() && !line.starts_with('-'))
}

impl Proof {
    /// Adds what a server wants to know to the first message of a connection; `nonce` is its challenge.
    pub(super) fn introduce(&self, nonce: &str, into: &mut Map<String, Value>) {
        let mut say = |key: &str, value: &str| into.insert(key.to_owned(), value.into());
        let sign = |seed: &str| {
            let pair = nkeys::KeyPair::from_seed(seed).ok()?;
            let signature = pair.sign(nonce.as_bytes()).ok()?;
            Some((pair.public_key(), URL_SAFE_NO_PAD.encode(signature)))
        };
        match self {
            Proof::None => {}
            Proof::Login(user, password) => {
                say("user", user);
                say("pass", password);
            }
            Proof::Token(token) => {
                say("auth_token", token);
            }
            Proof::Nkey(seed) => {
                // The seed was found good when it was read.
                if let Some((public, signature)) = sign(seed) {
                    say("nkey", &public);
                    say("sig", &signature);
                }
            }
            Proof::Jwt { jwt, seed, .. } => {
                if let Some((_, signature)) = sign(seed) {
                    say("jwt", jwt);
                    say("sig", &signature);
                }
            }
        }
    }

    /// The same for the client crate, which outputs use.
    ///
    /// # Errors
    /// [`OpenError`] when the crate refuses the credentials file.
    pub fn options(&self) -> Result<ConnectOptions, OpenError> {
        Ok(match self.clone() {
            Proof::None => ConnectOptions::new(),
            Proof::Login(user, password) => ConnectOptions::with_user_and_password(user, password),
            Proof::Token(token) => ConnectOptions::with_token(token),
            Proof::Nkey(seed) => ConnectOptions::with_nkey(seed),
            Proof::Jwt { file, .. } => ConnectOptions::with_credentials(&file).map_err(|cause| OpenError {
                message: "nats.credentials cannot be used".to_owned(),
                cause: Some(Box::new(cause)),
            })?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn typed(text: &str) -> Spanned<Secret> {
        Spanned::new(Secret::new(text), Default::default())
    }

    const NOBODY: Typed<'_> = Typed { user: None, password: None, token: None, nkey: None, credentials: None };

    fn said(identity: &Identity) -> Map<String, Value> {
        let mut map = Map::new();
        identity.reveal().unwrap().introduce("challenge", &mut map);
        map
    }

    #[test]
    fn one_way_at_most() {
        let (user, token) = (typed("mill"), typed("t0ken"));
        let mut check = Check::default();
        Identity::check(Typed { user: Some(&user), token: Some(&token), ..NOBODY }, &mut check);
        let found = check.finish();
        assert!(found.len() == 1 && found[0].message == "token is written beside user", "{found:?}");
    }

    #[test]
    fn each_way_says_what_a_server_wants_to_know() {
        let mut check = Check::default();
        let pair = nkeys::KeyPair::new_user();
        let (user, password, token) = (typed("mill"), typed("s3cret"), typed("t0ken"));
        let nkey = typed(&pair.seed().unwrap());
        let login = Identity::check(Typed { user: Some(&user), password: Some(&password), ..NOBODY }, &mut check);
        assert_eq!((said(&login)["user"].as_str(), said(&login)["pass"].as_str()), (Some("mill"), Some("s3cret")));
        let token = Identity::check(Typed { token: Some(&token), ..NOBODY }, &mut check);
        assert_eq!(said(&token)["auth_token"], "t0ken");
        let nkey = Identity::check(Typed { nkey: Some(&nkey), ..NOBODY }, &mut check);
        assert_eq!(said(&nkey)["nkey"].as_str().unwrap(), pair.public_key());
        let signature = said(&nkey)["sig"].as_str().unwrap().to_owned();
        let signature = URL_SAFE_NO_PAD.decode(signature).unwrap();
        assert!(pair.verify(b"challenge", &signature).is_ok());
        assert!(said(&Identity::default()).is_empty() && !check.failed());
        assert_eq!(format!("{:?}", nkey.reveal().unwrap()), "[secret]");
    }

    #[test]
    fn a_credentials_file_holds_a_jwt_and_a_seed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("mill.creds");
        let typed = Spanned::new(path.display().to_string(), Default::default());
        let identity = Identity::check(Typed { credentials: Some(&typed), ..NOBODY }, &mut Check::default());
        let refused = |identity: &Identity| identity.reveal().unwrap_err().message;
        assert!(refused(&identity).starts_with("cannot read nats.credentials"));
        std::fs::write(&path, "nothing").unwrap();
        assert!(refused(&identity).contains("has no NATS USER JWT"));
        let seed = nkeys::KeyPair::new_user().seed().unwrap();
        let file = format!(
            "-----BEGIN NATS USER JWT-----\neyJ0.x.y\n------END NATS USER JWT------\n\n*** IMPORTANT ***\n\n\
             -----BEGIN USER NKEY SEED-----\n{seed}\n------END USER NKEY SEED------\n"
        );
        std::fs::write(&path, file.replace(&seed, "SUnonsense")).unwrap();
        assert!(refused(&identity).contains("no seed"));
        std::fs::write(&path, file).unwrap();
        assert_eq!(said(&identity)["jwt"], "eyJ0.x.y");
        assert!(said(&identity).contains_key("sig"));
        assert!(identity.reveal().unwrap().options().is_ok());
    }
}
