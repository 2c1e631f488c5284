//! Who may do what: an admin who may do all, a viewer who may read everything but secrets, and nobody else.

use std::fmt::Write as _;

use rustls::crypto::CryptoProvider;

use super::kinds::Kind;

/// The users that hold a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum User {
    /// May do all.
    Admin,
    /// May read all but secrets; no port-forward, no exec, no change.
    View,
    /// Logs in and may do nothing.
    Nobody,
}

impl User {
    /// All of them.
    pub const ALL: [User; 3] = [User::Admin, User::View, User::Nobody];

    /// The name, as audit and messages show it.
    pub fn name(self) -> &'static str {
        match self {
            User::Admin => "admin",
            User::View => "view",
            User::Nobody => "none",
        }
    }
}

/// What is asked to be allowed.
#[derive(Debug, Clone, Copy)]
pub struct Attempt<'a> {
    pub verb: &'a str,
    pub resource: &'a str,
    pub subresource: &'a str,
}

impl<'a> Attempt<'a> {
    /// An attempt on a kind.
    pub fn on(verb: &'a str, kind: &'a Kind, subresource: Option<&'a str>) -> Self {
        Attempt { verb, resource: kind.plural, subresource: subresource.unwrap_or("") }
    }
}

/// Whether the user may.
pub fn allowed(user: User, attempt: &Attempt<'_>) -> bool {
    match user {
        User::Admin => true,
        User::View => {
            let reads = matches!(attempt.verb, "get" | "list" | "watch");
            reads && attempt.resource != "secrets" && matches!(attempt.subresource, "" | "status" | "log")
        }
        User::Nobody => false,
    }
}

/// The tokens of the users, made anew for each API.
#[derive(Clone)]
pub struct Tokens(Vec<(User, String)>);

impl std::fmt::Debug for Tokens {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Tokens")
    }
}

impl Tokens {
    /// Random tokens. Each holds `CANARY-`, so that a search finds one that strayed.
    pub fn random(provider: &CryptoProvider) -> Result<Self, rustls::crypto::GetRandomFailed> {
        let token = |user: User| {
            let mut bytes = [0_u8; 24];
            provider.secure_random.fill(&mut bytes)?;
            let hex = bytes.iter().fold(String::new(), |mut hex, byte| {
                // Writing to a String cannot fail.
                let _ = write!(hex, "{byte:02x}");
                hex
            });
            Ok((user, format!("CANARY-{}-{hex}", user.name())))
        };
        User::ALL.into_iter().map(token).collect::<Result<_, _>>().map(Tokens)
    }

    /// The user who holds that token.
    pub fn user(&self, token: &str) -> Option<User> {
        self.0.iter().find(|(_, known)| known == token).map(|(user, _)| *user)
    }

    /// The user's token.
    pub fn of(&self, user: User) -> &str {
        self.0.iter().find(|(known, _)| *known == user).map_or("", |(_, token)| token)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(user: User, verb: &str, resource: &str, subresource: &str, expected: bool) {
        let attempt = Attempt { verb, resource, subresource };
        assert_eq!(allowed(user, &attempt), expected, "{user:?} {verb} {resource}/{subresource}");
    }

    #[test]
    fn a_viewer_reads_all_but_secrets_and_changes_nothing() {
        check(User::View, "watch", "pods", "", true);
        check(User::View, "get", "pods", "log", true);
        check(User::View, "get", "secrets", "", false);
        check(User::View, "get", "pods", "portforward", false);
        for verb in ["get", "create"] {
            check(User::View, verb, "pods", "exec", false);
            check(User::Admin, verb, "pods", "exec", true);
        }
        check(User::View, "patch", "pods", "", false);
        check(User::Nobody, "list", "pods", "", false);
        check(User::Admin, "delete", "secrets", "", true);
    }
}
