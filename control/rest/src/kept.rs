//! An object as it is kept: typed while somebody asks for it, as packed JSON while it rests.

use std::sync::Arc;
use std::time::Instant;

use parking_lot::Mutex;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::dictionary::{Dictionary, Text};

/// An object that may be at rest.
pub struct Kept<K>(Mutex<Form<K>>);

enum Form<K> {
    /// As it is, and when it was asked for the last time.
    Awake(Arc<K>, Instant),
    /// Its JSON.
    AtRest(Text),
}

impl<K: Serialize + DeserializeOwned + Default> Kept<K> {
    /// One that is awake.
    pub fn new(object: Arc<K>) -> Self {
        Self(Mutex::new(Form::Awake(object, Instant::now())))
    }

    /// The object; one that rests goes on resting.
    pub fn look(&self) -> Arc<K> {
        match &*self.0.lock() {
            Form::Awake(object, _) => object.clone(),
            Form::AtRest(text) => Arc::new(unpack(text)),
        }
    }

    /// The object, which is awake from now on.
    pub fn wake(&self) -> Arc<K> {
        self.rouse().0
    }

    /// The object, which is awake from now on, and whether it rested.
    pub fn rouse(&self) -> (Arc<K>, bool) {
        let mut form = self.0.lock();
        let (object, rested) = match &*form {
            Form::Awake(object, _) => (object.clone(), false),
            Form::AtRest(text) => (Arc::new(unpack(text)), true),
        };
        *form = Form::Awake(object.clone(), Instant::now());
        (object, rested)
    }

    /// Lets it rest, if nobody has asked for it since `since`. Whether it rests.
    pub fn rest(&self, dictionary: &Dictionary, since: Instant) -> bool {
        let mut form = self.0.lock();
        if let Form::Awake(object, asked) = &*form
            && *asked <= since
        {
            match serde_json::to_vec(object) {
                Ok(json) => *form = Form::AtRest(dictionary.pack(json.into())),
                Err(error) => tracing::error!(%error, "an object cannot rest"),
            }
        }
        matches!(*form, Form::AtRest(_))
    }

    /// Whether it rests.
    pub fn rests(&self) -> bool {
        matches!(&*self.0.lock(), Form::AtRest(_))
    }
}

fn unpack<K: DeserializeOwned + Default>(text: &Text) -> K {
    serde_json::from_slice(&text.bytes()).unwrap_or_else(|error| {
        tracing::error!(%error, "an object at rest cannot be read");
        K::default()
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    type Object = BTreeMap<String, Vec<u32>>;

    #[test]
    fn rests_and_wakes_as_it_was() {
        let (object, dictionary) = (Arc::new(Object::from([("a".to_owned(), vec![1, 2, 3])])), Dictionary::default());
        let kept = Kept::new(object.clone());
        let made = Instant::now();
        assert!(kept.rest(&dictionary, made) && kept.rests());
        assert_eq!(kept.look(), object);
        assert!(kept.rests(), "a look does not wake it");
        assert_eq!(kept.rouse(), (object, true));
        assert!(!kept.rouse().1);
        assert!(Arc::ptr_eq(&kept.wake(), &kept.look()));
        assert!(!kept.rest(&dictionary, made) && !kept.rests(), "it was asked for since");
    }
}
