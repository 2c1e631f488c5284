//! pgdeck: a terminal cockpit for operating fleets of Postgres clusters.

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
pub mod id;
pub mod keymap;
pub mod metric;
pub mod plane;
pub mod present;
pub mod runtime;
pub mod screen;
pub mod state;
pub mod theme;
pub mod view;
pub mod widget;
pub mod work;

#[cfg(feature = "sandbox")]
pub mod sandbox;
