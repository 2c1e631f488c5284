//! A small real fleet on this machine: real Postgres and Patroni behind a small Kubernetes API.

pub mod api;
