//! The buckets as a Pod has them: those of its namespace.

use std::sync::Arc;

use futures::future::BoxFuture;
use k8s_openapi::api::core::v1::Namespace;
use kube::Api;
use tokio::sync::OnceCell;
use wharf_engine::{Bucket, KeyValue, KeyValueError, Versioned, Write, Written};

use super::KeyValueData;
use super::data::Data;

/// The bucket that has no name.
const DEFAULT: &str = "default";

/// What a container's guests open buckets with. Cheap to clone.
#[derive(Clone)]
pub(crate) struct PodKeyValue(Arc<Inner>);

struct Inner {
    data: Arc<KeyValueData>,
    client: Arc<kube::Client>,
    namespace: String,
    /// Known once a bucket was opened.
    namespace_data: OnceCell<Opened>,
}

#[derive(Clone)]
struct Opened {
    data: Arc<Data>,
    /// The namespace's uid: a later one of its name is another.
    uid: Arc<str>,
}

impl PodKeyValue {
    pub(crate) fn new(data: Arc<KeyValueData>, client: Arc<kube::Client>, namespace: &str) -> Self {
        Self(Arc::new(Inner { data, client, namespace: namespace.to_owned(), namespace_data: OnceCell::new() }))
    }
}

impl Inner {
    async fn open(&self) -> Result<Opened, KeyValueError> {
        let open = || async {
            let api = Api::<Namespace>::all((*self.client).clone());
            let failed = |e: kube::Error| KeyValueError::Other(format!("read namespace {}: {e}", self.namespace));
            let uid = api.get(&self.namespace).await.map_err(failed)?.metadata.uid.unwrap_or_default();
            let file = self.data.clone();
            let opened = tokio::task::spawn_blocking(move || file.open()).await;
            let data = opened.map_err(|e| e.to_string()).and_then(|o| o).map_err(KeyValueError::Other)?;
            let known = data.namespaces().map_err(words)?;
            if !known.iter().any(|(u, _)| *u == uid) {
                data.adopt(&uid, &self.namespace).await?;
                tokio::spawn(collect(api, data.clone(), known));
            }
            Ok(Opened { data, uid: uid.into() })
        };
        self.namespace_data.get_or_try_init(open).await.cloned()
    }
}

/// Forgets the namespaces that are no more; when another comes is time enough.
async fn collect(api: Api<Namespace>, data: Arc<Data>, known: Vec<(String, String)>) {
    for (uid, name) in known {
        let gone = match api.get_metadata_opt(&name).await {
            Ok(found) => found.is_none_or(|n| n.metadata.uid.as_ref() != Some(&uid)),
            Err(_) => false,
        };
        if gone && let Err(error) = data.forget(&uid).await {
            tracing::warn!(namespace = name, %error, "remove its key-value data");
        }
    }
}

fn words(e: redb::Error) -> KeyValueError {
    KeyValueError::Other(e.to_string())
}

impl KeyValue for PodKeyValue {
    fn open(&self, identifier: String) -> BoxFuture<'static, Result<Arc<dyn Bucket>, KeyValueError>> {
        let me = self.0.clone();
        Box::pin(async move {
            let name = if identifier.is_empty() { DEFAULT.to_owned() } else { identifier };
            if !is_label(&name) {
                return Err(KeyValueError::NoSuchStore);
            }
            Ok(Arc::new(NamedBucket { of: me.open().await?, name }) as Arc<dyn Bucket>)
        })
    }
}

/// A DNS label.
fn is_label(name: &str) -> bool {
    let inner = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
    name.len() <= 63 && name.bytes().all(inner) && !name.starts_with('-') && !name.ends_with('-')
}

struct NamedBucket {
    of: Opened,
    name: String,
}

impl Bucket for NamedBucket {
    // Reading is a look into the file's pages: quicker than handing it to another thread.
    fn get(&self, key: String) -> BoxFuture<'static, Result<Option<Versioned>, KeyValueError>> {
        Box::pin(std::future::ready(self.of.data.get(&self.of.uid, &self.name, &key).map_err(words)))
    }

    fn keys(&self, after: Option<String>) -> BoxFuture<'static, Result<(Vec<String>, bool), KeyValueError>> {
        Box::pin(std::future::ready(self.of.data.keys(&self.of.uid, &self.name, after.as_deref()).map_err(words)))
    }

    fn write(&self, write: Write) -> BoxFuture<'static, Result<Written, KeyValueError>> {
        let (of, name) = (self.of.clone(), self.name.clone());
        Box::pin(async move { of.data.write(&of.uid, &name, write).await })
    }
}

#[cfg(test)]
mod tests {
    use super::super::{MAX_KEY, MAX_NAMESPACE, MAX_VALUE};
    use super::*;

    async fn bucket(data: &Arc<KeyValueData>, uid: &str, namespace: &str, name: &str) -> NamedBucket {
        let data = data.open().unwrap();
        data.adopt(uid, namespace).await.unwrap();
        NamedBucket { of: Opened { data, uid: uid.into() }, name: name.into() }
    }

    fn set(key: &str, value: &[u8]) -> Write {
        Write::Set(vec![(key.into(), value.into())])
    }

    async fn value(b: &NamedBucket, key: &str) -> Option<String> {
        b.get(key.into()).await.unwrap().map(|v| String::from_utf8(v.value).unwrap())
    }

    #[tokio::test]
    async fn a_bucket_is_its_namespaces_and_outlives_the_process() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("keyvalue.redb");
        {
            let data = KeyValueData::at(&path);
            assert!(!path.exists(), "made without need");
            let (a, b) = (bucket(&data, "uid-a", "shop", "default").await, bucket(&data, "uid-b", "bank", "default").await);
            a.write(set("k", b"1")).await.unwrap();
            assert_eq!((value(&a, "k").await.as_deref(), value(&b, "k").await), (Some("1"), None));
            let other = bucket(&data, "uid-a", "shop", "other").await;
            assert_eq!(value(&other, "k").await, None);
        }
        // The writer's thread lets the file go on its own.
        let data = KeyValueData::at(&path);
        while data.open().is_err() {
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
        let a = bucket(&data, "uid-a", "shop", "default").await;
        assert_eq!(value(&a, "k").await.as_deref(), Some("1"));
        // A later namespace of that name begins empty, and the old one's data is gone.
        let again = bucket(&data, "uid-c", "shop", "default").await;
        assert_eq!((value(&again, "k").await, value(&a, "k").await), (None, None));
        assert_eq!(a.write(set("k", b"1")).await, Err(KeyValueError::NoSuchStore));
        let mut names: Vec<_> = data.open().unwrap().namespaces().unwrap();
        names.sort();
        assert_eq!(names, [("uid-b".to_owned(), "bank".to_owned()), ("uid-c".to_owned(), "shop".to_owned())]);
    }

    #[tokio::test]
    async fn numbers_and_versions() {
        let dir = tempfile::tempdir().unwrap();
        let data = KeyValueData::at(dir.path().join("kv"));
        let b = Arc::new(bucket(&data, "u", "ns", "default").await);
        let add = |delta| Write::Add { key: "n".into(), delta, least: -5, most: 1000 };
        let adders = (0..50).map(|_| {
            let b = b.clone();
            tokio::spawn(async move { b.write(add(2)).await.unwrap() })
        });
        for adder in adders.collect::<Vec<_>>() {
            adder.await.unwrap();
        }
        assert_eq!(b.write(add(-101)).await, Ok(Written::Sum(-1)));
        assert_eq!(value(&b, "n").await.as_deref(), Some("-1"));
        assert_eq!(b.write(add(-5)).await, Err(KeyValueError::Other("-1 + -5 is not within -5 and 1000".into())));
        b.write(set("n", b"x")).await.unwrap();
        assert_eq!(b.write(add(1)).await, Err(KeyValueError::Other("the value of \"n\" is no decimal number".into())));
        let swap = |version, value: &str| Write::Swap { key: "n".into(), version, value: value.into() };
        let seen = b.get("n".into()).await.unwrap().unwrap().version;
        assert_eq!(b.write(swap(None, "y")).await, Ok(Written::Changed));
        assert_eq!(b.write(swap(Some(seen), "y")).await, Ok(Written::Done));
        assert_eq!(b.write(swap(Some(seen), "z")).await, Ok(Written::Changed));
        b.write(Write::Delete(vec!["n".into(), "never".into()])).await.unwrap();
        assert_eq!(b.write(swap(None, "anew")).await, Ok(Written::Done));
        assert_eq!(value(&b, "n").await.as_deref(), Some("anew"));
    }

    #[tokio::test]
    async fn bounds_refuse_the_whole_write() {
        let dir = tempfile::tempdir().unwrap();
        let data = KeyValueData::at(dir.path().join("kv"));
        let b = bucket(&data, "u", "ns", "default").await;
        let refused = async |write: Write| match b.write(write).await {
            Err(KeyValueError::Other(words)) => words,
            other => panic!("{other:?}"),
        };
        assert_eq!(refused(set("", b"")).await, "a key cannot be empty");
        assert_eq!(refused(set(&"k".repeat(MAX_KEY + 1), b"")).await, "a key of 513 bytes: at most 512 are allowed");
        assert_eq!(
            refused(Write::Set(vec![("ok".into(), vec![]), ("k".into(), vec![0; MAX_VALUE + 1])])).await,
            "a value of 1048577 bytes: at most 1048576 are allowed"
        );
        assert_eq!(b.get("ok".into()).await, Ok(None), "half of a refused write");
        let mega = |i: usize| (format!("{i:03}"), vec![0; MAX_VALUE]);
        let whole = usize::try_from(MAX_NAMESPACE).unwrap() / MAX_VALUE;
        for i in 0..whole - 1 {
            b.write(Write::Set(vec![mega(i)])).await.unwrap();
        }
        assert_eq!(refused(Write::Set(vec![mega(whole)])).await, "the namespace's data would be larger than 67108864 bytes");
        b.write(Write::Delete((0..10).map(|i| mega(i).0).collect())).await.unwrap();
        b.write(Write::Set(vec![mega(whole)])).await.unwrap();
        let many: Vec<_> = (0..700).map(|i| (format!("small-{i:04}"), vec![])).collect();
        b.write(Write::Set(many)).await.unwrap();
        let (first, more) = b.keys(Some("small".into())).await.unwrap();
        assert_eq!((first.len(), more, first[0].as_str()), (500, true, "small-0000"));
        let (rest, more) = b.keys(first.last().cloned()).await.unwrap();
        assert_eq!((rest.len(), more, rest[199].as_str()), (200, false, "small-0699"));
    }

    #[test]
    fn names_of_buckets() {
        for (name, ok) in [("default", true), ("a-1", true), ("A", false), ("-a", false), ("a/b", false), ("a.b", false), (&"a".repeat(64), false)] {
            assert_eq!(is_label(name), ok, "{name}");
        }
    }
}
