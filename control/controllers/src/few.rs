//! Sets that mostly have one member.

use std::collections::BTreeSet;

/// One, or several in their order.
pub(crate) enum Few<T> {
    One(T),
    Several(BTreeSet<T>),
}

impl<T: Ord + Clone> Few<T> {
    pub(crate) fn insert(&mut self, item: T) {
        match self {
            Few::One(one) if *one == item => {}
            Few::One(one) => *self = Few::Several(BTreeSet::from([one.clone(), item])),
            Few::Several(items) => _ = items.insert(item),
        }
    }

    /// Whether any is left.
    pub(crate) fn remove(&mut self, item: &T) -> bool {
        match self {
            Few::One(one) => one != item,
            Few::Several(items) => {
                items.remove(item);
                !items.is_empty()
            }
        }
    }

    pub(crate) fn len(&self) -> usize {
        match self {
            Few::One(_) => 1,
            Few::Several(items) => items.len(),
        }
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &T> {
        let (one, several) = match self {
            Few::One(one) => (Some(one), None),
            Few::Several(items) => (None, Some(items)),
        };
        one.into_iter().chain(several.into_iter().flatten())
    }
}
