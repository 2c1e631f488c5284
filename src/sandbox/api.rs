//! The subset of the Kubernetes API that pgdeck, Patroni and everyday kubectl use.
