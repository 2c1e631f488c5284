use super::*;

/// The problems of a configuration file, one a line.
fn problems(text: &str) -> Vec<String> {
    let mut problems = Vec::new();
    let written = file::parse("config.toml", text, &mut problems);
    check_keys(&written, Path::new("config.toml"), &mut problems);
    problems.iter().map(ToString::to_string).collect()
}

fn merge(globals: &Globals, around: &Surroundings, text: &str) -> Config {
    let mut problems = Vec::new();
    let written = file::parse("config.toml", text, &mut problems);
    assert_eq!(problems, []);
    merged(globals, around, &written)
}

#[test]
fn a_whole_file_is_read() {
    let text = r#"
contexts = ["prod-eu", "prod-us"]
namespaces = ["orders"]
hosts = "/etc/pgdeck/hosts.toml"
reach = "direct"
theme = "light"
ascii = true
readonly = true
protected = ["prod-eu", "oldprod"]
columns = ["health", "name"]
tunnels = 8

[roles]
prod-eu = "monitor"

[keys]
quit = "Q"
top = ["home", "g g"]
"#;
    let config = merge(&Globals::default(), &Surroundings::default(), text);
    assert_eq!(config.contexts, ["prod-eu", "prod-us"]);
    assert_eq!((config.reach, config.tunnels, config.kubernetes), (Reach::Direct, 8, true));
    assert_eq!(config.roles["prod-eu"], "monitor");
    assert_eq!(config.keys["quit"], ["Q"]);
}

#[test]
fn every_problem_is_told_at_once_with_its_line() {
    let told =
        problems("them = \"light\"\nascii = 7\nreach = \"sideways\"\n\n[keys]\nhelp = \"j\"\nfrobnicate = \"x\"\n");
    let starts = [
        "config.toml:1: \"them\": is no key of the configuration; did you mean theme?",
        "config.toml:2: ascii: is 7; write true or false",
        "config.toml:3: reach: is \"sideways\"; write \"forward\" or \"direct\"",
        "config.toml:7: [keys]: keys.frobnicate: no such action",
        "config.toml:6: [keys]: key \"j\" means both down and help",
    ];
    assert_eq!(told.len(), starts.len(), "{told:#?}");
    for start in starts {
        assert!(told.iter().any(|problem| problem.starts_with(start)), "{start} is not among {told:#?}");
    }
}

#[test]
fn garbage_is_told_with_its_line() {
    let told = problems("theme = \"light\"\n\u{1}\u{2}garbage [[\n");
    assert!(told[0].starts_with("config.toml:2: the configuration:"), "{told:?}");
}

#[test]
fn flags_win_over_the_file() {
    let globals = Globals {
        context: vec!["staging".into()],
        all_namespaces: true,
        theme: Some("mono".into()),
        ..Globals::default()
    };
    let text = "contexts = [\"prod\"]\nnamespaces = [\"orders\"]\ntheme = \"light\"\n";
    let config = merge(&globals, &Surroundings::default(), text);
    assert_eq!((config.contexts, config.namespaces), (vec!["staging".to_owned()], vec![]));
    assert_eq!(config.theme, "mono");
}

#[test]
fn hosts_alone_leave_a_kubeconfig_that_nobody_named_alone() {
    let around = |named, usual| Surroundings {
        kubeconfig_named: named,
        kubeconfig_usual: usual,
        pghost: true,
        ..Surroundings::default()
    };
    let hosts = || Globals { hosts: Some("hosts.toml".into()), ..Globals::default() };
    let none = Globals::default;
    for (globals, named, usual, kubernetes, libpq) in [
        (hosts(), false, true, false, false),
        (hosts(), true, true, true, false),
        (none(), false, true, true, false),
        (none(), false, false, false, true),
        (Globals { context: vec!["a".into()], ..hosts() }, false, true, true, false),
    ] {
        let config = merge(&globals, &around(named, usual), "");
        assert_eq!((config.kubernetes, config.libpq), (kubernetes, libpq), "{globals:?} {named} {usual}");
    }
}

#[test]
fn a_password_on_the_command_line_is_found() {
    for (dsn, found) in [
        ("host=a user=b", false),
        ("host=a password=x", true),
        ("host=a password = x", true),
        ("postgres://u@h/db", false),
        ("postgres://u:p@h/db", true),
        ("postgres://u@h:5432/db?sslmode=require", false),
        ("postgresql://h/db?password=x", true),
    ] {
        assert_eq!(has_password(dsn), found, "{dsn}");
    }
}

#[test]
fn every_key_of_the_file_is_documented() {
    assert!(KEYS.iter().all(|key| key.doc.ends_with('.') && !key.form.is_empty()));
}
