//! Patroni's two stores: ConfigMaps and Endpoints.

/// A thing of Patroni's in each of its two stores, of which nearly always one is in use.
#[derive(Debug)]
pub(super) struct Stores<T> {
    configmaps: Option<Box<T>>,
    endpoints: Option<Box<T>>,
}

impl<T> Stores<T> {
    pub fn get(&self, endpoints: bool) -> Option<&T> {
        if endpoints { self.endpoints.as_deref() } else { self.configmaps.as_deref() }
    }

    /// Puts it in, gives what was there.
    pub fn put(&mut self, endpoints: bool, thing: T) -> Option<T> {
        self.slot(endpoints).replace(Box::new(thing)).map(|before| *before)
    }

    pub fn remove(&mut self, endpoints: bool) {
        *self.slot(endpoints) = None;
    }

    fn slot(&mut self, endpoints: bool) -> &mut Option<Box<T>> {
        if endpoints { &mut self.endpoints } else { &mut self.configmaps }
    }

    pub fn is_empty(&self) -> bool {
        self.configmaps.is_none() && self.endpoints.is_none()
    }
}

impl<T> Default for Stores<T> {
    fn default() -> Self {
        Stores { configmaps: None, endpoints: None }
    }
}
