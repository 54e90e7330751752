//! `wasi:keyvalue/{store,atomics,batch}` of both drafts that are around. They differ in the cursor of `list-keys`, in the
//! numbers of `increment`, and in compare-and-swap, which only the second has.

use super::{Bucket, KeyValue, KeyValueError, Versioned, Write, Written};
use std::sync::Arc;
use wasmtime::StoreContextMut;
use wasmtime::component::{ComponentType, Lift, Linker, LinkerInstance, Lower, Resource, ResourceTable, ResourceType};

/// The interfaces, as guests import them.
pub(crate) const INTERFACES: [&str; 3] = ["wasi:keyvalue/store", "wasi:keyvalue/atomics", "wasi:keyvalue/batch"];
/// Their versions.
pub(crate) const DRAFT: &str = "0.2.0-draft";
pub(crate) const DRAFT2: &str = "0.2.0-draft2";

/// Keys that one call of `batch` may name, and the bytes that it may get.
const MAX_BATCH: usize = 1000;
const MAX_BATCH_BYTES: usize = 16 << 20;

/// What a store's data must offer.
pub(crate) trait KeyValueView: 'static {
    fn key_value(&mut self) -> (&Arc<dyn KeyValue>, &mut ResourceTable);
}

/// `store.error`.
#[derive(Debug, Clone, PartialEq, Eq, ComponentType, Lift, Lower)]
#[component(variant)]
enum Error {
    #[component(name = "no-such-store")]
    NoSuchStore,
    #[component(name = "access-denied")]
    AccessDenied,
    #[component(name = "other")]
    Other(String),
}

impl From<KeyValueError> for Error {
    fn from(e: KeyValueError) -> Self {
        match e {
            KeyValueError::NoSuchStore => Error::NoSuchStore,
            KeyValueError::AccessDenied => Error::AccessDenied,
            KeyValueError::Other(words) => Error::Other(words),
        }
    }
}

#[derive(ComponentType, Lower)]
#[component(record)]
struct Keys<C> {
    #[component(name = "keys")]
    keys: Vec<String>,
    #[component(name = "cursor")]
    cursor: Option<C>,
}

#[derive(ComponentType, Lower)]
#[component(variant)]
enum CasError {
    #[component(name = "store-error")]
    Store(Error),
    #[component(name = "cas-failed")]
    Failed(Resource<Cas>),
}

/// A guest's handle of a bucket.
struct Open(Arc<dyn Bucket>);

/// A guest's handle of a compare-and-swap. The value is not held, but read again: a guest may have thousands of these.
struct Cas {
    bucket: Arc<dyn Bucket>,
    key: String,
    version: Option<u64>,
}

type Store<'a, T> = StoreContextMut<'a, T>;

pub(crate) fn add_to_linker<T: KeyValueView + Send>(l: &mut Linker<T>) -> wasmtime::Result<()> {
    let [store, atomics, batch] = INTERFACES;
    for version in [DRAFT, DRAFT2] {
        let mut i = l.instance(&format!("{store}@{version}"))?;
        add_store(&mut i)?;
        if version == DRAFT {
            add_keys(&mut i)?
        } else {
            add_keys2(&mut i)?
        }
        let mut i = l.instance(&format!("{atomics}@{version}"))?;
        if version == DRAFT {
            add_increment(&mut i)?
        } else {
            add_atomics2(&mut i)?
        }
        add_batch(&mut l.instance(&format!("{batch}@{version}"))?)?;
    }
    Ok(())
}

fn bucket<T: KeyValueView>(s: &mut Store<'_, T>, this: &Resource<Open>) -> wasmtime::Result<Arc<dyn Bucket>> {
    Ok(s.data_mut().key_value().1.get(this)?.0.clone())
}

async fn set(bucket: Arc<dyn Bucket>, write: Write) -> Result<(), Error> {
    Ok(bucket.write(write).await.map(|_| ())?)
}

fn add_store<T: KeyValueView + Send>(i: &mut LinkerInstance<'_, T>) -> wasmtime::Result<()> {
    i.resource("bucket", ResourceType::host::<Open>(), |mut s: Store<'_, T>, rep| {
        s.data_mut().key_value().1.delete(Resource::<Open>::new_own(rep))?;
        Ok(())
    })?;
    i.func_wrap_async("open", |mut s: Store<'_, T>, (identifier,): (String,)| {
        Box::new(async move {
            let opened = s.data_mut().key_value().0.open(identifier).await;
            Ok((match opened {
                Ok(bucket) => Ok(s.data_mut().key_value().1.push(Open(bucket))?),
                Err(e) => Err(Error::from(e)),
            },))
        })
    })?;
    i.func_wrap_async("[method]bucket.get", |mut s: Store<'_, T>, (this, key): (Resource<Open>, String)| {
        Box::new(async move {
            let found = bucket(&mut s, &this)?.get(key).await;
            Ok((found.map(|v| v.map(|v| v.value)).map_err(Error::from),))
        })
    })?;
    i.func_wrap_async("[method]bucket.set", |mut s: Store<'_, T>, (this, key, value): (Resource<Open>, String, Vec<u8>)| {
        Box::new(async move { Ok((set(bucket(&mut s, &this)?, Write::Set(vec![(key, value)])).await,)) })
    })?;
    i.func_wrap_async("[method]bucket.delete", |mut s: Store<'_, T>, (this, key): (Resource<Open>, String)| {
        Box::new(async move { Ok((set(bucket(&mut s, &this)?, Write::Delete(vec![key])).await,)) })
    })?;
    i.func_wrap_async("[method]bucket.exists", |mut s: Store<'_, T>, (this, key): (Resource<Open>, String)| {
        Box::new(async move {
            let found = bucket(&mut s, &this)?.get(key).await;
            Ok((found.map(|v| v.is_some()).map_err(Error::from),))
        })
    })
}

/// Here a cursor is how many keys were given so far.
fn add_keys<T: KeyValueView + Send>(i: &mut LinkerInstance<'_, T>) -> wasmtime::Result<()> {
    i.func_wrap_async("[method]bucket.list-keys", |mut s: Store<'_, T>, (this, cursor): (Resource<Open>, Option<u64>)| {
        Box::new(async move {
            let (bucket, mut after, mut seen) = (bucket(&mut s, &this)?, None, 0u64);
            let skip = cursor.unwrap_or(0);
            loop {
                let (mut keys, more) = match bucket.keys(after.take()).await {
                    Ok(page) => page,
                    Err(e) => return Ok((Err(Error::from(e)),)),
                };
                let end = seen + keys.len() as u64;
                if end > skip || !more {
                    keys.drain(..keys.len().min(usize::try_from(skip - seen.min(skip))?));
                    return Ok((Ok(Keys { keys, cursor: more.then_some(end) }),));
                }
                (after, seen) = (keys.pop(), end);
            }
        })
    })
}

/// Here it is the last key.
fn add_keys2<T: KeyValueView + Send>(i: &mut LinkerInstance<'_, T>) -> wasmtime::Result<()> {
    i.func_wrap_async("[method]bucket.list-keys", |mut s: Store<'_, T>, (this, cursor): (Resource<Open>, Option<String>)| {
        Box::new(async move {
            let page = bucket(&mut s, &this)?.keys(cursor).await;
            let page = page.map(|(keys, more)| Keys { cursor: keys.last().filter(|_| more).cloned(), keys });
            Ok((page.map_err(Error::from),))
        })
    })
}

async fn add(bucket: Arc<dyn Bucket>, key: String, delta: i128, least: i128, most: i128) -> Result<i128, Error> {
    match bucket.write(Write::Add { key, delta, least, most }).await? {
        Written::Sum(sum) => Ok(sum),
        Written::Done | Written::Changed => Err(Error::Other("no number came back".into())),
    }
}

fn add_increment<T: KeyValueView + Send>(i: &mut LinkerInstance<'_, T>) -> wasmtime::Result<()> {
    i.func_wrap_async("increment", |mut s: Store<'_, T>, (this, key, delta): (Resource<Open>, String, u64)| {
        Box::new(async move {
            let sum = add(bucket(&mut s, &this)?, key, delta.into(), 0, u64::MAX.into()).await;
            Ok((sum.map(|n| u64::try_from(n).unwrap_or_default()),))
        })
    })
}

fn add_atomics2<T: KeyValueView + Send>(i: &mut LinkerInstance<'_, T>) -> wasmtime::Result<()> {
    i.func_wrap_async("increment", |mut s: Store<'_, T>, (this, key, delta): (Resource<Open>, String, i64)| {
        Box::new(async move {
            let sum = add(bucket(&mut s, &this)?, key, delta.into(), i64::MIN.into(), i64::MAX.into()).await;
            Ok((sum.map(|n| i64::try_from(n).unwrap_or_default()),))
        })
    })?;
    i.resource("cas", ResourceType::host::<Cas>(), |mut s: Store<'_, T>, rep| {
        s.data_mut().key_value().1.delete(Resource::<Cas>::new_own(rep))?;
        Ok(())
    })?;
    i.func_wrap_async("[static]cas.new", |mut s: Store<'_, T>, (this, key): (Resource<Open>, String)| {
        Box::new(async move {
            let bucket = bucket(&mut s, &this)?;
            Ok((match bucket.get(key.clone()).await {
                Ok(found) => Ok(s.data_mut().key_value().1.push(Cas { bucket, key, version: found.map(|v| v.version) })?),
                Err(e) => Err(Error::from(e)),
            },))
        })
    })?;
    i.func_wrap_async("[method]cas.current", |mut s: Store<'_, T>, (this,): (Resource<Cas>,)| {
        Box::new(async move {
            let cas = s.data_mut().key_value().1.get(&this)?;
            let found = cas.bucket.get(cas.key.clone()).await;
            if let Ok(found) = &found {
                // What the guest has seen is what must not have changed.
                s.data_mut().key_value().1.get_mut(&this)?.version = found.as_ref().map(|v| v.version);
            }
            Ok((found.map(|v| v.map(|Versioned { value, .. }| value)).map_err(Error::from),))
        })
    })?;
    i.func_wrap_async("swap", |mut s: Store<'_, T>, (this, value): (Resource<Cas>, Vec<u8>)| {
        Box::new(async move {
            let Cas { bucket, key, version } = s.data_mut().key_value().1.delete(this)?;
            let swapped = bucket.write(Write::Swap { key: key.clone(), version, value }).await;
            let renewed = match swapped {
                Ok(Written::Changed) => bucket.get(key.clone()).await.map(Some),
                Ok(_) => Ok(None),
                Err(e) => Err(e),
            };
            Ok((match renewed {
                Ok(None) => Ok(()),
                Ok(Some(found)) => Err(CasError::Failed(s.data_mut().key_value().1.push(Cas { bucket, key, version: found.map(|v| v.version) })?)),
                Err(e) => Err(CasError::Store(e.into())),
            },))
        })
    })
}

fn add_batch<T: KeyValueView + Send>(i: &mut LinkerInstance<'_, T>) -> wasmtime::Result<()> {
    i.func_wrap_async("get-many", |mut s: Store<'_, T>, (this, keys): (Resource<Open>, Vec<String>)| {
        Box::new(async move { Ok((get_many(bucket(&mut s, &this)?, keys).await,)) })
    })?;
    i.func_wrap_async("set-many", |mut s: Store<'_, T>, (this, all): (Resource<Open>, Vec<(String, Vec<u8>)>)| {
        Box::new(async move {
            let bucket = bucket(&mut s, &this)?;
            Ok((match bounded(all.len()) {
                Ok(()) => set(bucket, Write::Set(all)).await,
                Err(e) => Err(e),
            },))
        })
    })?;
    i.func_wrap_async("delete-many", |mut s: Store<'_, T>, (this, keys): (Resource<Open>, Vec<String>)| {
        Box::new(async move {
            let bucket = bucket(&mut s, &this)?;
            Ok((match bounded(keys.len()) {
                Ok(()) => set(bucket, Write::Delete(keys)).await,
                Err(e) => Err(e),
            },))
        })
    })
}

fn bounded(keys: usize) -> Result<(), Error> {
    if keys <= MAX_BATCH { Ok(()) } else { Err(Error::Other(format!("{keys} keys in one call: at most {MAX_BATCH} are allowed"))) }
}

type Pair = (String, Vec<u8>);

async fn get_many(bucket: Arc<dyn Bucket>, keys: Vec<String>) -> Result<Vec<Option<Pair>>, Error> {
    bounded(keys.len())?;
    let (mut all, mut size) = (Vec::with_capacity(keys.len()), 0);
    for key in keys {
        let found = bucket.get(key.clone()).await?;
        size += found.as_ref().map_or(0, |v| v.value.len());
        if size > MAX_BATCH_BYTES {
            return Err(Error::Other(format!("the values have more than {MAX_BATCH_BYTES} bytes: ask for fewer keys")));
        }
        all.push(found.map(|v| (key, v.value)));
    }
    Ok(all)
}
