//! A user and a password: checked before anything is resolved, revealed only when an adapter opens.

use engine::config::{Check, Secret, Spanned};
use engine::registry::OpenError;

/// A user, and a password only beside one.
#[derive(Clone, Debug, Default)]
pub struct Login {
    user: Option<Secret>,
    password: Option<Secret>,
}

/// What a login says. Keep it out of errors, logs and `Debug`.
#[derive(Default)]
pub struct Revealed {
    /// The user.
    pub user: Option<String>,
    /// The password.
    pub password: Option<String>,
}

impl Login {
    /// Checks what stands under `user` and `password`; `example` is how one may be written, such as
    /// `${env:MQTT_PASSWORD}`.
    pub fn check(
        user: Option<&Spanned<Secret>>,
        password: Option<&Spanned<Secret>>,
        example: &str,
        check: &mut Check,
    ) -> Login {
        for typed in [user, password].into_iter().flatten() {
            secret(typed, example, check);
            if typed.value.literal().is_some_and(|text| text.contains('\0')) {
                check.error(typed.span, "a user name or password cannot hold a null character", "remove it");
            }
        }
        if let (Some(password), None) = (password, user) {
            check.error(password.span, "there is a password, but no user", "write user: beside it");
        }
        let inner = |typed: Option<&Spanned<Secret>>| typed.map(|typed| typed.value.clone());
        Login { user: inner(user), password: inner(password) }
    }

    /// Whether there is a user.
    #[must_use]
    pub fn is_some(&self) -> bool {
        self.user.is_some()
    }

    /// Resolves the references; `kind` is the key that `user` and `password` stand under.
    ///
    /// # Errors
    /// [`OpenError`] names the key and the reference, never a value.
    pub fn reveal(&self, kind: &str) -> Result<Revealed, OpenError> {
        let open = |key: &str, secret: &Option<Secret>| {
            secret.as_ref().map(|secret| reveal(&format!("{kind}.{key}"), secret)).transpose()
        };
        Ok(Revealed { user: open("user", &self.user)?, password: open("password", &self.password)? })
    }
}

/// Checks the references in a secret; `example` is how one may be written.
pub fn secret(typed: &Spanned<Secret>, example: &str, check: &mut Check) {
    if let Err(cause) = typed.value.check() {
        check.error(typed.span, cause.to_string(), format!("such as {example}"));
    }
}

/// Resolves the references in a secret that stands under `key`, such as `mqtt.url`.
///
/// # Errors
/// [`OpenError`] names the key and the reference, never a value.
pub fn reveal(key: &str, secret: &Secret) -> Result<String, OpenError> {
    secret.reveal().map_err(|cause| OpenError { message: format!("{key}: {cause}"), cause: None })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn typed(text: &str) -> Option<Spanned<Secret>> {
        Some(Spanned::new(Secret::new(text), Default::default()))
    }

    fn problems(user: Option<&str>, password: Option<&str>) -> Vec<String> {
        let mut check = Check::default();
        let (user, password) = (user.and_then(typed), password.and_then(typed));
        Login::check(user.as_ref(), password.as_ref(), "${env:PASSWORD}", &mut check);
        check.finish().into_iter().map(|problem| problem.message).collect()
    }

    #[test]
    fn a_password_needs_a_user_and_both_are_text() {
        assert_eq!(problems(Some("mill"), Some("${env:P}")), [""; 0]);
        assert_eq!(problems(Some("mill"), None), [""; 0]);
        assert!(problems(None, Some("s3cret"))[0].contains("no user"));
        assert!(problems(Some("a\0"), None)[0].contains("null character"));
        let said = problems(Some("mill"), Some("s3cret${"));
        assert!(said.len() == 1 && !said[0].contains("s3cret"), "{said:?}");
    }

    #[test]
    fn a_reference_that_leads_nowhere_is_named_with_its_key() {
        let mut check = Check::default();
        let (user, password) = (typed("mill"), typed("${file:/nonexistent/password}"));
        let login = Login::check(user.as_ref(), password.as_ref(), "", &mut check);
        let Err(error) = login.reveal("mqtt") else { panic!("revealed") };
        assert!(error.message.starts_with("mqtt.password: cannot read"), "{}", error.message);
        assert!(login.is_some() && Login::default().reveal("mqtt").unwrap().user.is_none());
    }
}
