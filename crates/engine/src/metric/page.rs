//! The page behind `/metrics`: the engine's own figures and, after them, what outputs expose.

use std::any::Any;
use std::sync::Arc;

use parking_lot::RwLock;

/// Something that writes metric families in Prometheus' text format.
///
/// Two parts must never write the same family: the format has one HELP and one TYPE line per family. Adapters of one kind
/// share one part for this, see [`Page::shared`].
pub trait Exposition: Any + Send + Sync {
    /// Appends whole families that users' functions made, each with its HELP and TYPE lines.
    fn render(&self, page: &mut String);

    /// Appends whole families about the adapter itself, which belong with the engine's own figures.
    fn render_own(&self, page: &mut String) {
        let _ = page;
    }
}

/// The adapters' part of the page.
#[derive(Clone, Default)]
pub struct Page(Arc<RwLock<Vec<Arc<dyn Exposition>>>>);

impl Page {
    /// Adds one part, shown from now on.
    pub fn add(&self, part: Arc<dyn Exposition>) {
        self.0.write().push(part);
    }

    /// The page's only part of this type, added when it is first asked for.
    pub fn shared<T: Exposition + Default>(&self) -> Arc<T> {
        let mut parts = self.0.write();
        let known = parts.iter().find_map(|part| Arc::<dyn Any + Send + Sync>::downcast(Arc::clone(part) as _).ok());
        known.unwrap_or_else(|| {
            let part = Arc::<T>::default();
            parts.push(Arc::clone(&part) as _);
            part
        })
    }

    /// The families that users' functions made, in the order in which the parts were added.
    #[must_use]
    pub fn render(&self) -> String {
        let mut page = String::new();
        for part in self.0.read().iter() {
            part.render(&mut page);
        }
        page
    }

    /// The families that adapters keep about themselves, in the order in which the parts were added.
    #[must_use]
    pub fn render_own(&self) -> String {
        let mut page = String::new();
        for part in self.0.read().iter() {
            part.render_own(&mut page);
        }
        page
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Default)]
    struct Own;
    impl Exposition for Own {
        fn render(&self, page: &mut String) {
            page.push_str("users 1\n");
        }
        fn render_own(&self, page: &mut String) {
            page.push_str("own 1\n");
        }
    }

    struct Plain(&'static str);
    impl Exposition for Plain {
        fn render(&self, page: &mut String) {
            page.push_str(self.0);
        }
    }

    #[test]
    fn parts_are_shown_in_order_and_shared_by_type() {
        let page = Page::default();
        page.add(Arc::new(Plain("a 1\n")));
        let first = page.shared::<Own>();
        page.add(Arc::new(Plain("b 1\n")));
        let same_page = Page::clone(&page);
        assert!(Arc::ptr_eq(&first, &same_page.shared::<Own>()));
        assert_eq!(page.render(), "a 1\nusers 1\nb 1\n");
        assert_eq!(page.render_own(), "own 1\n");
    }
}
