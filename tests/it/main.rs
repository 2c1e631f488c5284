//! The integration tests: one binary, real parts.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that panics has failed, which is its job")]
#![allow(clippy::print_stderr, reason = "figures, and what was skipped, are told beside the results")]

mod actions;
mod bad;
mod bulk;
mod console;
#[cfg(feature = "sandbox")]
mod demo;
mod dialects;
#[cfg(feature = "sandbox")]
mod faults;
mod hosts;
#[cfg(feature = "sandbox")]
mod http;
mod keys;
#[cfg(feature = "sandbox")]
mod kube;
mod leaving;
mod left_over;
mod offers;
mod orders;
mod pg;
mod postgres;
#[cfg(feature = "sandbox")]
mod proxy;
mod rig;
#[cfg(feature = "sandbox")]
mod sandbox;
mod screens;
#[cfg(feature = "sandbox")]
mod signal;
mod tidy;
mod tty;
