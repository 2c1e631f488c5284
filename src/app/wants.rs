//! What the model needs from the world now.

use std::collections::BTreeSet;

use super::Model;
use crate::work::want::Want;

/// The streams that should run: the fleet always, and what the view on top asks for.
pub fn wants(model: &Model) -> BTreeSet<Want> {
    let top = model.screen.views.last().map(|view| view.wants(&model.state)).unwrap_or_default();
    std::iter::once(Want::Fleet).chain(top).collect()
}
