//! A command line, or a connection string, without the logins in it: `archive_command` is written by people.

use super::{HIDDEN, is_harmless};

/// Options whose names have one of these in them are followed by what nobody shall read.
const OPTIONS: [&str; 9] = ["secret", "pass", "token", "key", "cred", "auth", "sas", "header", "cookie"];

/// Options of curl that take a login, or a header.
const SHORT: [&str; 3] = ["-u", "--user", "-H"];

/// The command with every value hidden that may be a secret: logins and queries of URLs, values of options that are named so,
/// and of variables that are not known to be harmless.
pub fn told(text: &str) -> String {
    let mut told = String::new();
    // The program that is called, and whether the word before wants its value hidden.
    let (mut is_sshpass, mut hides) = (false, false);
    for piece in pieces(text) {
        match piece {
            Piece::Between(text) => {
                if text.contains([';', '|', '&', '(']) {
                    (is_sshpass, hides) = (false, false);
                }
                told.push_str(text);
            }
            Piece::Word(text) if hides && !is_segment(text) => {
                hides = false;
                told.push_str(HIDDEN);
            }
            Piece::Word(text) => {
                let plain = text.trim_matches(['"', '\'']);
                is_sshpass |= plain.rsplit('/').next() == Some("sshpass");
                hides = wants_value(plain, is_sshpass);
                told.push_str(&word(text, is_sshpass));
            }
        }
    }
    told
}

/// What Postgres puts in for `%p` and `%f` is the name of a file.
fn is_segment(text: &str) -> bool {
    text.contains("%p") || text.contains("%f")
}

/// Whether the next word is what this option is given.
fn wants_value(option: &str, is_sshpass: bool) -> bool {
    let is_named = || is_secret(option) && !option.contains('=');
    SHORT.contains(&option) || (option.starts_with("--") && is_named()) || (is_sshpass && option == "-p")
}

fn is_secret(option: &str) -> bool {
    let option = option.to_lowercase();
    OPTIONS.iter().any(|word| option.contains(word))
}

fn word(text: &str, is_sshpass: bool) -> String {
    for quote in ['"', '\''] {
        let inner = text.strip_prefix(quote).and_then(|rest| rest.strip_suffix(quote));
        if let Some(inner) = inner.filter(|inner| !inner.contains(quote)) {
            let inner = if inner.contains(char::is_whitespace) { told(inner) } else { word(inner, is_sshpass) };
            return format!("{quote}{inner}{quote}");
        }
    }
    // One that has its value in itself: `-ume:password`, `-ppassword`.
    let is_attached = |option: &str| text.len() > option.len() && text.starts_with(option) && !text.starts_with("--");
    if (is_attached("-u") || is_attached("-H")) && text.contains(':') || is_sshpass && is_attached("-p") {
        return format!("{}{HIDDEN}", text.get(..2).unwrap_or_default());
    }
    let Some((name, value)) = text.split_once('=') else { return without_login(text) };
    let is_name = |name: &str| !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    let is_hidden = if name.starts_with('-') {
        is_secret(name)
    } else {
        is_name(name) && !is_harmless(name, value.trim_matches(['"', '\''])) && !is_segment(value)
    };
    if is_hidden { format!("{name}={HIDDEN}") } else { without_login(text) }
}

/// URLs without who logs in, and without what is asked: a signature stands there.
fn without_login(text: &str) -> String {
    let Some((before, rest)) = text.split_once("://") else { return text.to_owned() };
    let end = rest.find(['"', '\'', ',']).unwrap_or(rest.len());
    let (url, after) = rest.split_at(end);
    let (place, asked) = url.split_once('?').map_or((url, ""), |(place, _)| (place, "?"));
    let host = place.find('/').unwrap_or(place.len());
    let place = match place[..host].rfind('@') {
        Some(at) => format!("{HIDDEN}{}", &place[at..]),
        None => place.to_owned(),
    };
    let asked = if asked.is_empty() { String::new() } else { format!("?{HIDDEN}") };
    format!("{before}://{place}{asked}{}", without_login(after))
}

enum Piece<'a> {
    Word(&'a str),
    /// Blanks, and what a shell puts between commands.
    Between(&'a str),
}

/// Words as a shell parts them, quotes and all, and what stands between.
fn pieces(text: &str) -> Vec<Piece<'_>> {
    let mut pieces = Vec::new();
    let (mut begun, mut was_word, mut quote) = (0, false, None);
    let mut escaped = false;
    for (at, c) in text.char_indices() {
        let is_word = match quote {
            Some(_) => true,
            None => escaped || !(c.is_whitespace() || ";|&()<>".contains(c)),
        };
        if at > begun && is_word != was_word {
            pieces.push(if was_word { Piece::Word(&text[begun..at]) } else { Piece::Between(&text[begun..at]) });
            begun = at;
        }
        was_word = is_word;
        quote = match quote {
            Some(open) if open == c && !escaped => None,
            None if !escaped && (c == '"' || c == '\'') => Some(c),
            quote => quote,
        };
        escaped = c == '\\' && !escaped;
    }
    if begun < text.len() {
        pieces.push(if was_word { Piece::Word(&text[begun..]) } else { Piece::Between(&text[begun..]) });
    }
    pieces
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_holds_no_secret_is_told_as_it_is() {
        for command in [
            "",
            "/bin/true",
            "(disabled)",
            r#"envdir "/run/etc/wal-e.d/env" wal-g wal-push "%p""#,
            "test ! -f /archive/%f && cp -p %p /archive/%f",
            "dd if=%p of=/archive/%f",
            "pgbackrest --stanza=demo --config=/etc/pgbackrest.conf archive-push %p",
            "rsync -a %p backup@10.0.0.7:/wal/%f 2>> /var/log/wal.log || exit 1",
            "WALG_S3_PREFIX=s3://backups/shop AWS_REGION=eu-central-1 wal-g wal-push %p",
            "aws s3 cp %p s3://backups/shop/%f",
        ] {
            assert_eq!(told(command), command);
        }
    }

    #[test]
    fn logins_and_values_that_may_be_secrets_are_hidden_and_the_rest_is_told() {
        let check = |command: &str, expected: &str| {
            let told = told(command);
            assert_eq!(told, expected.replace('*', HIDDEN), "{command}");
            assert!(!told.contains("CANARY"), "{told}");
        };
        check("curl -T %p https://me:CANARY@host/wal/%f", "curl -T %p https://*@host/wal/%f");
        check("curl -T %p 'https://me:CAN@ARY@host/%f'", "curl -T %p 'https://*@host/%f'");
        check("azcopy %p https://a.blob/wal/%f?sv=1&sig=CANARY", "azcopy %p https://a.blob/wal/%f?*&sig=*");
        check(r#"azcopy %p "https://a.blob/%f?sv=1&sig=CANARY""#, r#"azcopy %p "https://a.blob/%f?*""#);
        check("PGPASSWORD=CANARY pg_x %p", "PGPASSWORD=* pg_x %p");
        check("test -f x &&AWS_SECRET_ACCESS_KEY='CAN ARY' wal-g %p", "test -f x &&AWS_SECRET_ACCESS_KEY=* wal-g %p");
        check("env FOO=CANARY wal-g wal-push %p", "env FOO=* wal-g wal-push %p");
        check("put --secret-key CANARY --id x %p", "put --secret-key * --id x %p");
        check("put --access-key=CANARY %p", "put --access-key=* %p");
        check("put --repo1-cipher-pass \"CANARY CANARY\" %p", "put --repo1-cipher-pass * %p");
        check("curl -u me:CANARY -T %p h; cp %p /a", "curl -u * -T %p h; cp %p /a");
        check("curl -ume:CANARY h", "curl -u* h");
        check("curl -H 'Authorization: Bearer CANARY' h", "curl -H * h");
        check("sshpass -p CANARY scp %p a:/b", "sshpass -p * scp %p a:/b");
        check("sshpass -pCANARY scp -p %p a:/b", "sshpass -p* scp -p %p a:/b");
        check("sh -c \"PGPASSWORD=CANARY x %p\"", "sh -c \"PGPASSWORD=* x %p\"");
        check("host=10.0.0.1 user=standby password=CANARY", "host=* user=* password=*");
        check("WALG_SSH_PREFIX=ssh://me:CANARY@host wal-g", "WALG_SSH_PREFIX=* wal-g");
    }

    #[test]
    fn nothing_in_any_order_makes_it_fail() {
        for text in ["'", "\"", "\\", "=", "://", "a='b", "--key", "-u", "é='ü' \u{301}", "x://@?", "\\\"a b\\\""] {
            told(text);
            told(&text.repeat(3));
        }
    }
}
