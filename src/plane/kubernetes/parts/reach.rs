//! How far the first lists have come, and which clusters they have told whole.

use std::cmp::Ordering;
use std::collections::BTreeMap;

use super::Kind;
use crate::id::{ClusterId, Text};

/// How far a first list has come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reach {
    /// Nowhere yet.
    Begun,
    /// To this namespace and name, in order.
    Past(Text, Text),
    /// To its end, or it is forbidden and will tell nothing.
    End,
}

pub(super) type Reached = BTreeMap<(Kind, Option<Text>), Reach>;

/// Whether all parts of the cluster by which it is judged were told.
pub(super) fn is_past(reached: &Reached, id: &ClusterId) -> bool {
    [Kind::Pods, Kind::ConfigMaps, Kind::Endpoints].into_iter().all(|kind| {
        let narrow = reached.get(&(kind, Some(id.namespace.clone())));
        match narrow.or_else(|| reached.get(&(kind, None))) {
            None | Some(Reach::Begun) => false,
            Some(Reach::End) => true,
            Some(Reach::Past(namespace, name)) => match (**namespace).cmp(&id.namespace) {
                Ordering::Less => false,
                Ordering::Greater => true,
                // Its own stand together in order: `NAME`, `NAME-0`, `NAME-10`, `NAME-config`.
                Ordering::Equal => {
                    let stem = format!("{}-", id.name);
                    !name.starts_with(&stem) && **name > *stem
                }
            },
        }
    })
}
