//! pgdeck: a terminal cockpit for operating fleets of Postgres clusters.
//!
//! ```text
//!    keys ──┐                                            ┌─ Yank · Suspend · Exit
//!    Seen ──┤ [Msg]    ╭──────────╮  Vec<Effect>  ╭──────┴──╮
//!    tick ──┴─────────▶│  update  │──────────────▶│ perform │
//!      ▲               ╰────┬─────╯               ╰─────────╯
//!      │                    │ &mut Model
//!      │   wants(&Model)    ├──────────────▶ reconcile: running streams → wanted streams
//!      │                    │ &Model                         │
//!      └──── mailbox ◀──────┼────────────────── plane · pg ◀─╯
//!                           ├─────────┬──────────────╮
//!                       head::tui  head::headless  head::doctor
//! ```
//!
//! The core is pure: [`app::update`] and [`app::wants`] are the whole brain, without I/O, clock, terminal or lock. The world is
//! reached by [`work::want::Want`] (keep telling me), [`work::probe::Probe`] (one exact answer) and
//! [`work::order::Order`] (one change: journaled, previewed, refused when read-only, proved by [`run`]). Samples feed charts and colours; gates and
//! preflights ask probes only.
//!
//! # Code map
//!
//! Nouns, pure:
//! - [`fault`]: what the world says instead of an answer
//! - [`id`]: names of planes, clusters, instances
//! - [`metric`]: what is asked of Postgres (surveys) and what the answers mean
//! - [`fleet`]: the clusters we know, what was seen of them, how healthy they are
//! - [`work`]: wants, probes and orders: the requests to the world; what the journal keeps of them
//!
//! Machines, pure:
//! - [`run`]: one attempt to change something, from looking to proof, without I/O
//! - [`operation`]: everything that changes the world, one row each
//! - [`state`]: all that is known: the fleet, the orders of this session, what there is to tell
//! - [`action`]: everything a key or the palette can do, one row each
//! - [`keymap`]: keys to actions, overrides, clashes
//!
//! Faces, pure:
//! - [`present`]: how a fact reads before colour; the one gate for outside text
//! - [`theme`]: tones to styles
//! - [`widget`]: tables, pages, sparklines: they know cells and tones, never the fleet
//! - [`view`]: what the screen shows, one file a view
//! - [`screen`]: the stack of views, the dialog on top, keys typed so far
//! - [`app`]: model, messages, effects
//!
//! The world:
//! - [`pg`]: Postgres itself: connections, surveys, faults
//! - [`plane`]: where clusters live: Kubernetes contexts, plain hosts
//! - [`journal`]: the record of every order, on disk before it is sent
//! - [`term`]: the terminal, taken and given back whatever happens
//! - [`sandbox`]: a small real fleet on this machine, for the demo and the tests
//!
//! Edges:
//! - [`cli`]: what can be typed after `pgdeck`
//! - [`config`]: file, environment and flags; problems come back as a list
//! - [`head`]: the console, and the commands that print and end
//! - [`runtime`]: the clock, the mailbox, streams that follow what is wanted
//!
//! # Invariants
//!
//! 1. Nothing in nouns, machines and faces awaits, reads a clock, or does I/O. Time is an argument.
//! 2. Every change to the world is an order, goes through one place ([`runtime::perform`]), is journaled before it is sent
//!    and refused there when read-only. Of several that change one CR, in whichever pgdeck, one is under way: the journal has its
//!    claim.
//! 3. No gate or preflight reads a sample.
//! 4. An order's success is proved by probes of its effect, never by the call returning.
//! 5. An action carries the identity captured when the key was pressed (a CR's uid, a plain host's system identifier); it is
//!    looked at again before every order.
//! 6. Samples never share a connection with probes or orders.
//! 7. Every observed value has an age. Unknown is `–` with a reason, never `0`.
//! 8. Losing an API server or a database never ends the program; it is shown, with the age of what is still on screen.
//! 9. Text from outside reaches the terminal only through [`present`], which strips control characters.
//! 10. No secret reaches argv, the environment of a child that others can read, the journal, a log or the screen; of variables in
//!     objects the value is told only where the name is known to be harmless.

#![cfg_attr(
    test,
    allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that panics has failed, which is its job")
)]

pub mod action;
pub mod app;
pub mod cli;
pub mod config;
pub mod fault;
pub mod fleet;
pub mod head;
pub mod id;
pub mod journal;
pub mod keymap;
pub mod metric;
pub mod operation;
pub mod pg;
pub mod plane;
pub mod present;
pub mod run;
pub mod runtime;
pub mod screen;
pub mod state;
pub mod term;
pub mod theme;
pub mod view;
pub mod widget;
pub mod work;

#[cfg(feature = "sandbox")]
pub mod sandbox;
