//! A small real fleet on this machine: real Postgres and Patroni behind a small Kubernetes API.

pub mod api;
pub mod error;
pub mod node;
pub mod objects;
pub mod operator;
pub mod process;
mod sql;

pub use error::{Error, Result};
