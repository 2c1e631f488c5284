//! What can be typed after `pgdeck`.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use clap_complete::Shell;

/// A terminal cockpit for fleets of Postgres clusters.
///
/// Without a command it opens the console on every cluster that your kubeconfig, your hosts file, or both can reach.
#[derive(Debug, Parser)]
#[command(name = "pgdeck", version, max_term_width = 100)]
#[command(
    after_help = "Nothing at hand? `pgdeck demo` starts a small real fleet on this machine and opens the console on it."
)]
pub struct Cli {
    #[command(flatten)]
    pub globals: Globals,
    #[command(subcommand)]
    pub command: Option<Command>,
}

/// Where the fleet is, and how it looks.
#[derive(Debug, Default, Args)]
pub struct Globals {
    /// Kubernetes context to watch; repeat it for several at once [default: the kubeconfig's current context]
    #[arg(long, global = true, value_name = "NAME", help_heading = "Where")]
    pub context: Vec<String>,
    /// Namespace to watch; repeat it for several [default: all]
    #[arg(short, long, global = true, value_name = "NAME", help_heading = "Where")]
    pub namespace: Vec<String>,
    /// Watch all namespaces, whatever the configuration says
    #[arg(short = 'A', long, global = true, conflicts_with = "namespace", help_heading = "Where")]
    pub all_namespaces: bool,
    /// Kubeconfig to read [default: $KUBECONFIG, then ~/.kube/config]
    #[arg(long, global = true, value_name = "FILE", help_heading = "Where")]
    pub kubeconfig: Option<PathBuf>,
    /// TOML file of plain Postgres hosts
    #[arg(long, global = true, value_name = "FILE", env = "PGDECK_HOSTS", help_heading = "Where")]
    pub hosts: Option<PathBuf>,
    /// One plain Postgres server, as a libpq connection string without a password (use ~/.pgpass or PGPASSWORD)
    #[arg(long, global = true, value_name = "DSN", help_heading = "Where")]
    pub dsn: Option<String>,
    /// How to reach pods: through the API server's port-forward, or directly at their addresses
    #[arg(long, global = true, value_enum, help_heading = "Where")]
    pub reach: Option<Reach>,
    /// Theme: default, light, high-contrast, colour-blind, mono, or the path of a TOML file
    #[arg(long, global = true, value_name = "NAME", help_heading = "Manners")]
    pub theme: Option<String>,
    /// Draw with ASCII alone
    #[arg(long, global = true, help_heading = "Manners")]
    pub ascii: bool,
    /// Never change anything, whatever is typed
    #[arg(long, global = true, help_heading = "Manners")]
    pub readonly: bool,
    /// Let changes through: `do` changes something, the console begins armed in all that is not protected
    #[arg(long, global = true, help_heading = "Manners")]
    pub write: bool,
    /// Configuration file [default: pgdeck/config.toml in your XDG configuration folder]
    #[arg(long, global = true, value_name = "FILE", env = "PGDECK_CONFIG", help_heading = "Manners")]
    pub config: Option<PathBuf>,
}

/// How a pod's Postgres is reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Reach {
    /// At the pod's address: inside the cluster, and on flat networks.
    Direct,
    /// Through the API server, without a local port.
    Forward,
}

/// What to do instead of opening the console.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Print the fleet, or some of it, once
    ///
    /// Waits, bounded, until every source has answered or failed, and samples every member of the targets once (without a
    /// target: of the first 50 clusters). Exits 0 if any source answered, 4 if all refused the login or the rights, else 5.
    Status(Status),
    /// Tell what works, what does not, and what would help
    ///
    /// Checks every context, your rights by feature, the versions of API server, CRD and operator, and the way to one
    /// Postgres server of each cluster.
    Doctor(Doctor),
    /// Change something, as the console does: look, show, confirm, send, prove, record
    ///
    /// Without --write nothing is changed: what would be sent is shown. Exits 0 if the effect was seen, 3 if it was refused,
    /// 4 if a right is missing, 5 if it failed, 6 if its effect was not seen in time.
    Do(Do),
    /// Print the journal of what was changed
    Audit(Audit),
    /// Look after the configuration file
    Config {
        #[command(subcommand)]
        command: ConfigCommand,
    },
    /// Print the completions of a shell
    Completions {
        /// The shell
        shell: Shell,
    },
    /// Start a small real fleet on this machine and open the console on it
    ///
    /// Patroni and Postgres run as they do in a pod; the console goes through the same interfaces as in production. All
    /// ends when you leave.
    #[cfg(feature = "sandbox")]
    Demo(Demo),
    /// Start, stop and show the small real fleet that the demo and the tests use
    #[cfg(feature = "sandbox")]
    Sandbox {
        #[command(subcommand)]
        command: Sandbox,
    },
}

/// `pgdeck status`.
#[derive(Debug, Args)]
pub struct Status {
    /// Form of the output
    #[arg(short, long, value_enum, default_value_t = Output::Table)]
    pub output: Output,
    /// Seconds to wait at most for sources that stay silent
    #[arg(long, value_name = "SECONDS", default_value_t = 15, value_parser = clap::value_parser!(u32).range(1..=600))]
    pub timeout: u32,
    /// `[context//]namespace/cluster[/member]`, `hosts:cluster[/member]`, any shorter form that is unique, or a glob
    #[arg(value_name = "TARGET")]
    pub targets: Vec<String>,
}

/// Form of `pgdeck status`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Output {
    Table,
    Json,
    Yaml,
}

/// `pgdeck do`.
#[derive(Debug, Args)]
pub struct Do {
    /// What to do; --list tells what there is
    #[arg(value_name = "ACTION", required_unless_present = "list")]
    pub action: Option<String>,
    /// `[context//]namespace/cluster[/member]`, any shorter form that is unique, or a pattern (`demo//production/*`) for many
    /// clusters, one after the other
    #[arg(value_name = "TARGET", required_unless_present = "list")]
    pub target: Option<String>,
    /// Arguments of the action, in order or as NAME=VALUE
    #[arg(value_name = "ARG")]
    pub args: Vec<String>,
    /// List all actions
    #[arg(long)]
    pub list: bool,
    /// Answer yes to what the console would ask with `y`
    #[arg(long)]
    pub yes: bool,
    /// Of many clusters, go on after one that was not proved
    #[arg(long)]
    pub keep_going: bool,
    /// The cluster's name, where the console would have it typed
    #[arg(long, value_name = "NAME")]
    pub confirm: Option<String>,
    /// The cluster's name, to go on though a red line stands against it; needs --reason
    #[arg(long = "override", value_name = "NAME")]
    pub overrides: Option<String>,
    /// Try it on the server, where it can be tried, and change nothing
    #[arg(long, conflicts_with = "write")]
    pub dry_run: bool,
    /// Why, for the journal, and as an Event on the CR
    #[arg(long, value_name = "TEXT")]
    pub reason: Option<String>,
    /// Seconds to wait at most for the effect of each step [default: by the action]
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u32).range(1..=86_400))]
    pub timeout: Option<u32>,
    /// How long it is held at most (replay-pause): 90s, 10m, 2h
    #[arg(long = "for", value_name = "TIME")]
    pub hold_for: Option<String>,
    /// How much WAL may wait at most (replay-pause): 512MiB, 4GiB
    #[arg(long, value_name = "SIZE")]
    pub max_lag: Option<String>,
    /// Form of the output
    #[arg(short, long, value_enum, default_value_t = Report::Text)]
    pub output: Report,
}

/// `pgdeck audit`.
#[derive(Debug, Args)]
pub struct Audit {
    /// Only what was done since then: a moment (2026-11-24T03:00:00Z), or so long ago (90m, 36h, 7d)
    #[arg(long, value_name = "WHEN")]
    pub since: Option<String>,
    /// Ends an order that is open and whose pgdeck is gone for good, as UNPROVEN: then it stands in nothing's way any more
    #[arg(long, value_name = "RUN", conflicts_with_all = ["since", "output"])]
    pub close: Option<String>,
    /// Form of the output
    #[arg(short, long, value_enum, default_value_t = Report::Text)]
    pub output: Report,
}

/// `pgdeck doctor`.
#[derive(Debug, Args)]
pub struct Doctor {
    /// Form of the output
    #[arg(short, long, value_enum, default_value_t = Report::Text)]
    pub output: Report,
}

/// Form of a report.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Report {
    Text,
    Json,
}

/// `pgdeck config`.
#[derive(Debug, Subcommand)]
pub enum ConfigCommand {
    /// Check the configuration file and list everything that is wrong with it
    Check,
}

/// `pgdeck demo`.
#[cfg(feature = "sandbox")]
#[derive(Debug, Args)]
pub struct Demo {
    /// Leave the sandbox running at the end
    #[arg(long)]
    pub keep: bool,
    /// Name of the sandbox
    #[arg(long, default_value = "demo")]
    pub name: String,
    /// Clusters to start
    #[arg(long, value_enum, default_value_t = Fleet::Default)]
    pub fleet: Fleet,
    /// Add that many made-up clusters
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub crowd: u32,
}

/// `pgdeck sandbox`.
#[cfg(feature = "sandbox")]
#[derive(Debug, Subcommand)]
pub enum Sandbox {
    /// Start it, and stay until ctrl-c
    Up {
        #[arg(long, default_value = "demo", help = "Name of the sandbox")]
        name: String,
        /// Return as soon as its API answers, and leave it running
        #[arg(long)]
        detach: bool,
        /// Clusters to start
        #[arg(long, value_enum, default_value_t = Fleet::Default)]
        fleet: Fleet,
        /// Add that many made-up clusters
        #[arg(long, value_name = "N", default_value_t = 0)]
        crowd: u32,
        /// What the made-up clusters do
        #[arg(long, value_enum, default_value_t = Regime::Heartbeat)]
        regime: Regime,
    },
    /// Stop it, and everything that belongs to it
    Down {
        #[arg(long, default_value = "demo", help = "Name of the sandbox")]
        name: String,
    },
    /// List what is up, with processes, addresses and folders
    Status {
        #[arg(long, default_value = "demo", help = "Name of the sandbox")]
        name: String,
        /// Form of the output
        #[arg(short, long, value_enum, default_value_t = Report::Text)]
        output: Report,
    },
    /// Print what your shell needs to talk to it: `eval "$(pgdeck sandbox env)"`
    Env {
        #[arg(long, default_value = "demo", help = "Name of the sandbox")]
        name: String,
    },
    /// Run the pods of any API server on this machine: each of Spilo's becomes a real Patroni and Postgres
    Node {
        /// Folder for the members' files
        #[arg(long, value_name = "DIR", default_value = "/var/tmp/pgdeck-node")]
        base: PathBuf,
        /// Hosts file to keep the Services' names in, where the API has no DNS beside it
        #[arg(long, value_name = "FILE")]
        names: Option<PathBuf>,
    },
    /// Change how much the workload writes
    Rate {
        #[arg(long, default_value = "demo", help = "Name of the sandbox")]
        name: String,
        /// Statements a second in each place; 0 stops it
        per_second: u32,
    },
    /// Make a crowd of made-up clusters in any API server
    Crowd {
        /// How many
        n: u32,
        /// What they do
        #[arg(long, value_enum, default_value_t = Regime::Heartbeat)]
        regime: Regime,
    },
}

/// Which clusters a sandbox starts with.
#[cfg(feature = "sandbox")]
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Fleet {
    /// Three clusters and an old production on plain hosts
    Default,
    /// One cluster of two members
    Small,
    /// The API alone
    None,
}

/// What made-up clusters do all day.
#[cfg(feature = "sandbox")]
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Regime {
    /// Nothing
    Silent,
    /// Every leader renews its lease every 10 s, as Patroni does
    Heartbeat,
    /// 20 visible changes a second
    Churn,
    /// Heartbeat and churn
    #[value(name = "heartbeat+churn", alias = "both")]
    Both,
}
