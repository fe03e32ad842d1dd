//! The page behind `/metrics`: the engine's own figures and, after them, what outputs expose.

use std::sync::Arc;

use parking_lot::RwLock;

/// Something that writes metric families in Prometheus' text format.
pub trait Exposition: Send + Sync {
    /// Appends whole families, each with its HELP and TYPE lines.
    fn render(&self, page: &mut String);
}

/// The adapters' part of the page.
#[derive(Clone, Default)]
pub struct Page(Arc<RwLock<Vec<Arc<dyn Exposition>>>>);

impl Page {
    /// Adds one part, shown from now on.
    pub fn add(&self, part: Arc<dyn Exposition>) {
        self.0.write().push(part);
    }

    /// The parts' families, in the order in which they were added.
    #[must_use]
    pub fn render(&self) -> String {
        let mut page = String::new();
        for part in self.0.read().iter() {
            part.render(&mut page);
        }
        page
    }
}
