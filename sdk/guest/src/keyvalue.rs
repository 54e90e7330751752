//! Values that outlive a request, by `wasi:keyvalue`.
//!
//! On Wharf a bucket belongs to the namespace: all Pods of it on one machine have the same bucket under the same name. What
//! was set is on the disk when [`Bucket::set`] returns. `docs/sdk.md` says all that is promised.
//!
//! ```
//! use wharf_sdk::keyvalue::Bucket;
//!
//! let bucket = Bucket::open("default")?;
//! bucket.set("greeting", "hello")?;
//! assert_eq!(bucket.get("greeting")?.as_deref(), Some(&b"hello"[..]));
//! assert_eq!(bucket.increment("visits", 1)?, 1);
//! bucket.set_json("point", &(1, 2))?;
//! assert_eq!(bucket.get_json::<(i32, i32)>("point")?, Some((1, 2)));
//!
//! // Whoever else writes meanwhile, nothing is lost.
//! bucket.update("log", |now| [now.unwrap_or_default(), b"one more\n"].concat())?;
//! assert_eq!(bucket.keys()?, ["greeting", "log", "point", "visits"]);
//! bucket.delete("greeting")?;
//! # Ok::<_, wharf_sdk::Error>(())
//! ```

use anyhow::{Context, Error, anyhow};
use serde::Serialize;
use serde::de::DeserializeOwned;

#[cfg(not(target_arch = "wasm32"))]
use crate::native::keyvalue as host;

/// How often [`Bucket::update`] begins anew.
const TRIES: usize = 100;

/// A bucket of values by key.
pub struct Bucket(host::Bucket);

impl Bucket {
    /// Opens a bucket; `default` is the one to use where there is no reason for another.
    pub fn open(name: &str) -> Result<Self, Error> {
        host::open(name).map(Self).map_err(|e| anyhow!("open bucket {name}: {e}"))
    }

    /// The value of a key; `None` where the key is not there.
    pub fn get(&self, key: &str) -> Result<Option<Vec<u8>>, Error> {
        self.0.get(key).map_err(|e| anyhow!("get {key}: {e}"))
    }

    /// Several values at once, in the order of the keys.
    pub fn get_many(&self, keys: &[&str]) -> Result<Vec<Option<Vec<u8>>>, Error> {
        let keys: Vec<String> = keys.iter().map(|k| (*k).to_owned()).collect();
        let all = host::get_many(&self.0, &keys).map_err(|e| anyhow!("get {} keys: {e}", keys.len()))?;
        Ok(all.into_iter().map(|pair| pair.map(|(_, value)| value)).collect())
    }

    /// Sets the value of a key.
    pub fn set(&self, key: &str, value: impl AsRef<[u8]>) -> Result<(), Error> {
        self.0.set(key, value.as_ref()).map_err(|e| anyhow!("set {key}: {e}"))
    }

    /// Sets several values at once: on Wharf all, or none.
    pub fn set_many(&self, values: &[(&str, &[u8])]) -> Result<(), Error> {
        let values: Vec<(String, Vec<u8>)> = values.iter().map(|(k, v)| ((*k).to_owned(), v.to_vec())).collect();
        host::set_many(&self.0, &values).map_err(|e| anyhow!("set {} keys: {e}", values.len()))
    }

    /// Removes a key, if it is there.
    pub fn delete(&self, key: &str) -> Result<(), Error> {
        self.0.delete(key).map_err(|e| anyhow!("delete {key}: {e}"))
    }

    /// Whether a key is there.
    pub fn exists(&self, key: &str) -> Result<bool, Error> {
        self.0.exists(key).map_err(|e| anyhow!("look for {key}: {e}"))
    }

    /// All keys, page by page.
    pub fn keys(&self) -> Result<Vec<String>, Error> {
        let (mut all, mut cursor) = (vec![], None);
        loop {
            let page = self.0.list_keys(cursor.as_deref()).map_err(|e| anyhow!("list keys: {e}"))?;
            all.extend(page.keys);
            cursor = page.cursor;
            if cursor.is_none() {
                return Ok(all);
            }
        }
    }

    /// A value that is kept as JSON.
    pub fn get_json<T: DeserializeOwned>(&self, key: &str) -> Result<Option<T>, Error> {
        let value = self.get(key)?;
        value.map(|v| serde_json::from_slice(&v).with_context(|| format!("the value of {key}"))).transpose()
    }

    /// Sets a value that is kept as JSON.
    pub fn set_json<T: Serialize + ?Sized>(&self, key: &str, value: &T) -> Result<(), Error> {
        self.set(key, serde_json::to_vec(value)?)
    }

    /// Adds to a number, which is 0 where the key is not there, and gives the sum. At once, whoever else does.
    pub fn increment(&self, key: &str, delta: i64) -> Result<i64, Error> {
        host::increment(&self.0, key, delta).map_err(|e| anyhow!("increment {key}: {e}"))
    }

    /// Sets a value to what `change` makes of it; begins anew when somebody else was quicker. Gives the value set.
    pub fn update(&self, key: &str, change: impl FnMut(Option<&[u8]>) -> Vec<u8>) -> Result<Vec<u8>, Error> {
        let mut change = change;
        let mut cas = host::Cas::new(&self.0, key).map_err(|e| anyhow!("update {key}: {e}"))?;
        for _ in 0..TRIES {
            let now = cas.current().map_err(|e| anyhow!("update {key}: {e}"))?;
            let value = change(now.as_deref());
            match host::swap(cas, &value) {
                Ok(()) => return Ok(value),
                Err(host::CasError::CasFailed(renewed)) => cas = renewed,
                Err(host::CasError::StoreError(e)) => return Err(anyhow!("update {key}: {e}")),
            }
        }
        Err(anyhow!("update {key}: somebody else was quicker {TRIES} times"))
    }
}

#[cfg(target_arch = "wasm32")]
mod host {
    pub(super) use crate::bindings::wasi::keyvalue::atomics::{Cas, CasError, increment, swap};
    pub(super) use crate::bindings::wasi::keyvalue::batch::{get_many, set_many};
    pub(super) use crate::bindings::wasi::keyvalue::store::{Bucket, open};
}
