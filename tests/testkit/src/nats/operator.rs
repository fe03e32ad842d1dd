//! An operator with an account, and the system's own that servers with JetStream insist on: what `nsc` would make for a
//! server that lets users in by what their account has signed.
//!
//! Everything is made at run time, so that nothing expires in the repository and no key is kept there.

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use nkeys::KeyPair;
use serde_json::{Value, json};

/// The keys, and what is signed with them.
pub struct Operator {
    account: KeyPair,
    operator_jwt: String,
    /// The accounts' public keys and what the operator says of them, the system's last.
    accounts: [(String, String); 2],
}

impl Operator {
    /// An operator and an account that may do everything.
    ///
    /// # Panics
    /// When there is no randomness.
    #[must_use]
    pub fn generate() -> Self {
        let operator = KeyPair::new_operator();
        let [account, system] = [KeyPair::new_account(), KeyPair::new_account()];
        let operator_jwt = signed(&operator, &operator, &json!({ "type": "operator", "version": 2 }));
        let unlimited = [("subs", -1), ("data", -1), ("payload", -1), ("imports", -1), ("exports", -1), ("conn", -1)];
        let mut limits: Value = unlimited.into_iter().collect();
        limits["wildcards"] = true.into();
        let claims = json!({ "type": "account", "version": 2, "limits": limits });
        let known = |account: &KeyPair| (account.public_key(), signed(&operator, account, &claims));
        Self { accounts: [known(&account), known(&system)], account, operator_jwt }
    }

    /// What the server's configuration needs.
    #[must_use]
    pub fn lines(&self) -> String {
        let [(account, claims), (system, system_claims)] = &self.accounts;
        format!(
            "operator: {}\nresolver: MEMORY\nsystem_account: {system}\n\
             resolver_preload: {{ {account}: {claims}, {system}: {system_claims} }}",
            self.operator_jwt
        )
    }

    /// The credentials file of a new user, who has to answer the server's challenge.
    ///
    /// # Panics
    /// When there is no randomness.
    #[must_use]
    pub fn credentials(&self) -> String {
        let user = KeyPair::new_user();
        let seed = user.seed().expect("a new pair has a seed");
        format!(
            "-----BEGIN NATS USER JWT-----\n{}\n------END NATS USER JWT------\n\n\
             -----BEGIN USER NKEY SEED-----\n{seed}\n------END USER NKEY SEED------\n",
            self.user(&user, false)
        )
    }

    /// What a new user shows who is let in by that alone, such as a client that cannot sign.
    #[must_use]
    pub fn bearer(&self) -> String {
        self.user(&KeyPair::new_user(), true)
    }

    fn user(&self, user: &KeyPair, bearer: bool) -> String {
        let claims = json!({
            "type": "user", "version": 2, "subs": -1, "data": -1, "payload": -1, "pub": {}, "sub": {}, "bearer_token": bearer,
        });
        signed(&self.account, user, &claims)
    }
}

/// What `issuer` says of `subject`.
fn signed(issuer: &KeyPair, subject: &KeyPair, nats: &Value) -> String {
    let encode = |value: &Value| BASE64_URL_SAFE_NO_PAD.encode(value.to_string());
    let head = json!({ "typ": "JWT", "alg": "ed25519-nkey" });
    let claims = json!({
        "jti": "test", "iat": 1_795_244_280, "iss": issuer.public_key(), "name": "test", "sub": subject.public_key(), "nats": nats,
    });
    let text = format!("{}.{}", encode(&head), encode(&claims));
    let signature = issuer.sign(text.as_bytes()).expect("the pair has a seed");
    format!("{text}.{}", BASE64_URL_SAFE_NO_PAD.encode(signature))
}
