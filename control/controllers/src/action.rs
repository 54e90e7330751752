//! What a plan may ask for. Plans are compared in tests by [`Action`]'s text.

use std::fmt;
use std::time::Duration;

use k8s_openapi::api::authorization::v1::SubjectAccessReviewSpec;
use k8s_openapi::api::core::v1::ObjectReference;
use serde_json::Value;

use crate::resource::{Resource, Target, Typed};

/// One step of a plan.
///
/// Steps are performed in order, and neighbours of one sort (creates, deletes, patches) at once: creates in growing
/// batches (1, 2, 4, …) of which a failing one is the last, the rest bounded only by the runner. A failed step does not
/// keep those behind it from being tried, unless an [`Action::Barrier`] stands between; it brings the key back later.
#[derive(Clone, Debug)]
pub enum Action {
    /// POST.
    Create {
        /// What, and where. Its name may be empty where the object has a `generateName`.
        object: Body,
        /// The Event to record afterwards.
        announce: Option<Announce>,
    },
    /// PUT of an object, or of a subresource of it. The body carries the `resourceVersion` it was made from.
    Update {
        /// What, and where.
        object: Body,
        /// `status`, `finalize`, …
        subresource: Option<&'static str>,
    },
    /// PUT of the first of these objects whose requester may do what the object says of it: the API server is asked for each, by a
    /// SubjectAccessReview. While none may, the key is planned again, ever more rarely.
    UpdateReviewed {
        /// The review, and the object to be put if it allows.
        choices: Vec<(SubjectAccessReviewSpec, Body)>,
        /// `approval`, …
        subresource: &'static str,
    },
    /// A JSON merge patch. A uid or resourceVersion of the target is a precondition.
    Patch {
        /// What is patched.
        target: Target,
        /// `status`, …
        subresource: Option<&'static str>,
        /// The patch.
        patch: Value,
        /// The Event to record afterwards.
        announce: Option<Announce>,
    },
    /// DELETE. A uid or resourceVersion of the target is a precondition. What is gone already is no error.
    Delete {
        /// What is deleted.
        target: Target,
        /// `Background`, `Foreground`, `Orphan`; `None`: what the kind does by itself.
        propagation: Option<&'static str>,
        /// Seconds, `None`: the object's own.
        grace: Option<i64>,
        /// Only if the API server itself says that none of these exists (any more).
        unless: Vec<Target>,
        /// The Event to record afterwards.
        announce: Option<Announce>,
    },
    /// Deletes all objects of a kind in a namespace, in the background.
    DeleteCollection {
        /// The kind.
        resource: Resource,
        /// The namespace.
        namespace: String,
    },
    /// Takes the finalizer `kubernetes` from the namespace, if the API server itself says that nothing is left in it.
    FinalizeNamespace {
        /// The namespace as `PUT finalize` takes it.
        object: Body,
        /// All kinds that may have left something.
        resources: Vec<Resource>,
    },
    /// Nothing behind this is done if anything before it failed.
    Barrier,
    /// Records an Event.
    Record(Note),
    /// Plans the key again after this time.
    RequeueAfter(Duration),
}

/// A whole object as JSON.
#[derive(Clone, Debug)]
pub struct Body {
    /// Whose body it is.
    pub target: Target,
    /// The object.
    pub json: Vec<u8>,
}

impl Body {
    /// The body of a typed object.
    pub fn of<K: Typed>(object: &K) -> Body {
        let json = serde_json::to_vec(object).expect("types of k8s-openapi have text keys and serialise");
        Body { target: Target::exactly(object), json }
    }
}

impl Action {
    /// POST of a typed object.
    pub fn create<K: Typed>(object: &K) -> Action {
        Action::Create { object: Body::of(object), announce: None }
    }

    /// PUT of a typed object.
    pub fn update<K: Typed>(object: &K) -> Action {
        Action::Update { object: Body::of(object), subresource: None }
    }

    /// PUT of a typed object's status.
    pub fn set_status<K: Typed>(object: &K) -> Action {
        Action::Update { object: Body::of(object), subresource: Some("status") }
    }

    /// A merge patch.
    pub fn patch(target: Target, patch: Value) -> Action {
        Action::Patch { target, subresource: None, patch, announce: None }
    }

    /// DELETE, with the uid as precondition.
    pub fn delete<K: Typed>(object: &K) -> Action {
        Action::Delete { target: Target::of(object), propagation: None, grace: None, unless: Vec::new(), announce: None }
    }

    /// The same with an Event for its outcome, where the action has one.
    #[must_use]
    pub fn announced(mut self, with: Announce) -> Action {
        match &mut self {
            Action::Create { announce, .. } | Action::Patch { announce, .. } | Action::Delete { announce, .. } => *announce = Some(with),
            _ => {}
        }
        self
    }
}

/// An Event about an object.
#[derive(Clone, Debug, PartialEq)]
pub struct Note {
    /// The object that it is about.
    pub about: ObjectReference,
    /// `Warning` rather than `Normal`.
    pub warning: bool,
    /// One word.
    pub reason: &'static str,
    /// A sentence.
    pub message: String,
}

impl Note {
    /// An Event of type `Normal`.
    pub fn normal<K: Typed>(about: &K, reason: &'static str, message: impl Into<String>) -> Note {
        Note { about: reference(about), warning: false, reason, message: message.into() }
    }

    /// An Event of type `Warning`.
    pub fn warning<K: Typed>(about: &K, reason: &'static str, message: impl Into<String>) -> Note {
        Note { warning: true, ..Note::normal(about, reason, message) }
    }
}

/// An Event for the outcome of a step: `{name}` in a message stands for the object's name, `{error}` for the error.
#[derive(Clone, Debug)]
pub struct Announce {
    /// The object that it is about.
    pub about: ObjectReference,
    /// Reason and message of the Normal Event of a success.
    pub done: Option<(&'static str, String)>,
    /// Reason and message of the Warning Event of a failure.
    pub failed: Option<(&'static str, String)>,
}

/// The reference by which Events name an object.
pub fn reference<K: Typed>(object: &K) -> ObjectReference {
    let meta = object.metadata();
    ObjectReference {
        api_version: Some(K::API_VERSION.to_owned()),
        kind: Some(K::KIND.to_owned()),
        name: meta.name.clone(),
        namespace: meta.namespace.clone(),
        uid: meta.uid.clone(),
        resource_version: meta.resource_version.clone(),
        field_path: None,
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.resource.kind, self.name)
    }
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Action::Create { object, .. } => write!(f, "create {}", object.target),
            Action::Update { object, subresource: None } => write!(f, "update {}", object.target),
            Action::Update { object, subresource: Some(sub) } => write!(f, "update {} {sub}", object.target),
            Action::UpdateReviewed { choices, subresource } => {
                let asked = choices.iter().map(|(review, _)| {
                    let of = review.resource_attributes.clone().unwrap_or_default();
                    let user = review.user.as_deref().unwrap_or_default();
                    format!("{user} may {} {}/{}", of.verb.unwrap_or_default(), of.resource.unwrap_or_default(), of.subresource.unwrap_or_default())
                });
                let target = choices.first().map(|(_, object)| object.target.to_string()).unwrap_or_default();
                write!(f, "update {target} {subresource} if {}", asked.collect::<Vec<_>>().join(" or "))
            }
            Action::Patch { target, subresource: None, patch, .. } => write!(f, "patch {target}: {patch}"),
            Action::Patch { target, subresource: Some(sub), patch, .. } => write!(f, "patch {target} {sub}: {patch}"),
            Action::Delete { target, propagation, grace, unless, .. } => {
                write!(f, "delete {target}")?;
                propagation.map_or(Ok(()), |p| write!(f, " {p}"))?;
                grace.map_or(Ok(()), |g| write!(f, " grace={g}"))?;
                unless.iter().try_for_each(|t| write!(f, " unless {t}"))
            }
            Action::DeleteCollection { resource, namespace } => write!(f, "delete all {} in {namespace}", resource.group_resource()),
            Action::FinalizeNamespace { object, .. } => write!(f, "finalize {}", object.target),
            Action::Barrier => write!(f, "barrier"),
            Action::Record(note) => {
                let kind = if note.warning { "Warning" } else { "Normal" };
                write!(f, "event {} {kind} {}: {}", note.about.name.as_deref().unwrap_or_default(), note.reason, note.message)
            }
            Action::RequeueAfter(after) => write!(f, "again in {after:?}"),
        }
    }
}
