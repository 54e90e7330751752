//! A plugin and a request in a file, without a cluster: what `wharf plugin test` does, and a function for tests of one's own.
//!
//! ```no_run
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! use wharf_plugin_host::{Settings, World, harness};
//!
//! let wasm = std::fs::read("policy.wasm")?;
//! let review = serde_json::from_str(&std::fs::read_to_string("review.json")?)?;
//! let answer = harness::run(&wasm, Settings::new("policy", World::Admission), &review).await?;
//! assert_eq!(answer["response"]["allowed"], false);
//! # Ok(())
//! # }
//! ```

use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use serde::Deserialize;
use serde_json::{Map, Value, json};
use wharf_engine::{Engine, EngineConfig};

use crate::admission::{GroupVersionKind, GroupVersionResource, Operation, Phase, Request, Response, UserInfo};
use crate::ingress::{Changes, Decision, RequestHead};
use crate::plugin::{CallError, LoadError, Plugin};
use crate::settings::{Settings, World};

/// Why a test has no answer.
#[derive(Debug, thiserror::Error)]
pub enum HarnessError {
    /// The component is no plugin.
    #[error("loading the plugin: {0}")]
    Load(#[from] LoadError),
    /// The engine cannot be made.
    #[error(transparent)]
    Engine(#[from] wharf_engine::EngineError),
    /// The request is not one.
    #[error("reading the request: {0}")]
    Request(String),
    /// The plugin has no answer.
    #[error("calling the plugin ({hook}): {error}")]
    Call {
        /// Which function.
        hook: &'static str,
        /// Why.
        error: CallError,
    },
}

/// Runs a plugin on a request: for `admission` an AdmissionReview (or its request alone), answered by an AdmissionReview with the response
/// (and `patched`, the object as the patch makes it, is left to the reader); for `ingress` an object of `method`, `path`, `headers`,
/// `authority`, `client` and the backend's `response`.
///
/// # Errors
/// When there is no answer.
pub async fn run(wasm: &[u8], settings: Settings, request: &Value) -> Result<Value, HarnessError> {
    let engine = Engine::new(EngineConfig { max_instances: Some(16), ..EngineConfig::default() })?;
    let world = settings.world;
    let plugin = Plugin::from_source(&engine, wasm, settings)?;
    match world {
        World::Admission => admission(&plugin, request).await,
        World::Ingress => ingress(&plugin, request).await,
    }
}

/// Asks `mutate`, and then `validate` unless it refused (or a delete, of which only `validate` is asked).
async fn admission(plugin: &Plugin, review: &Value) -> Result<Value, HarnessError> {
    let request = review.get("request").unwrap_or(review);
    let asked = read(request)?;
    let mut phases = vec![Phase::Mutate, Phase::Validate];
    if asked.operation == Operation::Delete {
        phases.remove(0);
    }
    let (mut all, mut patch) = (None, None);
    for phase in phases {
        let response = plugin.review(phase, asked.clone()).await.map_err(|error| HarnessError::Call { hook: phase.as_str(), error })?;
        patch = patch.or(response.patch.clone());
        let told = write(&asked.uid, &response, patch.as_deref());
        let allowed = response.allowed;
        all = Some(match all {
            None => told,
            Some(before) => merge_warnings(before, told),
        });
        if !allowed {
            break;
        }
    }
    Ok(json!({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "response": all}))
}

fn merge_warnings(before: Value, mut after: Value) -> Value {
    let mut warnings = before["warnings"].as_array().cloned().unwrap_or_default();
    warnings.extend(after["warnings"].as_array().cloned().unwrap_or_default());
    if !warnings.is_empty() {
        after["warnings"] = warnings.into();
    }
    after
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[derive(Default)]
struct Asked {
    uid: String,
    kind: Named,
    resource: Named,
    sub_resource: String,
    name: String,
    namespace: String,
    operation: String,
    user_info: User,
    object: Option<Value>,
    old_object: Option<Value>,
    options: Option<Value>,
    dry_run: bool,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Named {
    group: String,
    version: String,
    kind: String,
    resource: String,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct User {
    username: String,
    uid: String,
    groups: Vec<String>,
    extra: std::collections::BTreeMap<String, Vec<String>>,
}

/// An `AdmissionRequest` as the world has it.
fn read(request: &Value) -> Result<Request, HarnessError> {
    let asked: Asked = serde_json::from_value(request.clone()).map_err(|e| HarnessError::Request(e.to_string()))?;
    let operation = match asked.operation.as_str() {
        "CREATE" => Operation::Create,
        "UPDATE" => Operation::Update,
        "DELETE" => Operation::Delete,
        "CONNECT" => Operation::Connect,
        other => return Err(HarnessError::Request(format!("operation {other:?}: CREATE, UPDATE, DELETE or CONNECT"))),
    };
    let text = |value: Option<Value>| value.filter(|v| !v.is_null()).map(|v| v.to_string());
    Ok(Request {
        uid: asked.uid,
        kind: GroupVersionKind { group: asked.kind.group, version: asked.kind.version, kind: asked.kind.kind },
        resource: GroupVersionResource { group: asked.resource.group, version: asked.resource.version, resource: asked.resource.resource },
        subresource: asked.sub_resource,
        name: asked.name,
        namespace: asked.namespace,
        operation,
        user: UserInfo {
            username: asked.user_info.username,
            uid: asked.user_info.uid,
            groups: asked.user_info.groups,
            extra: asked.user_info.extra.into_iter().collect(),
        },
        object: text(asked.object),
        old_object: text(asked.old_object),
        options: text(asked.options),
        dry_run: asked.dry_run,
    })
}

/// An `AdmissionResponse`; its patch is readable here, not in base64.
fn write(uid: &str, response: &Response, patch: Option<&str>) -> Value {
    let mut told = json!({"uid": uid, "allowed": response.allowed});
    if let (Some(status), false) = (&response.status, response.allowed) {
        let mut shown = Map::new();
        for (name, value) in
            [("code", status.code.map(Value::from)), ("reason", status.reason.clone().map(Value::from)), ("message", status.message.clone().map(Value::from))]
        {
            shown.extend(value.map(|value| (name.to_owned(), value)));
        }
        told["status"] = shown.into();
    }
    if let (Some(patch), true) = (patch, response.allowed) {
        told["patchType"] = "JSONPatch".into();
        told["patch"] = serde_json::from_str(patch).unwrap_or_else(|_| patch.into());
    }
    if !response.warnings.is_empty() {
        told["warnings"] = response.warnings.clone().into();
    }
    told
}

#[derive(Deserialize)]
#[serde(default)]
struct Http {
    method: String,
    scheme: String,
    authority: String,
    path: String,
    headers: Map<String, Value>,
    client: String,
    ingress: String,
    response: Backend,
}

#[derive(Deserialize)]
#[serde(default)]
struct Backend {
    status: u16,
    headers: Map<String, Value>,
}

impl Default for Http {
    fn default() -> Http {
        let text = |text: &str| text.to_owned();
        let (method, scheme, authority, path) = (text("GET"), text("http"), text("example.com"), text("/"));
        Http { method, scheme, authority, path, headers: Map::new(), client: text("192.0.2.1"), ingress: text("default/test"), response: Backend::default() }
    }
}

impl Default for Backend {
    fn default() -> Backend {
        Backend { status: 200, headers: Map::new() }
    }
}

async fn ingress(plugin: &Plugin, request: &Value) -> Result<Value, HarnessError> {
    let asked: Http = serde_json::from_value(request.clone()).map_err(|e| HarnessError::Request(e.to_string()))?;
    let headers = from_json(&asked.headers)?;
    let head = RequestHead {
        method: &asked.method,
        scheme: &asked.scheme,
        authority: &asked.authority,
        path_with_query: &asked.path,
        headers: &headers,
        client: &asked.client,
        ingress: &asked.ingress,
    };
    let decision = plugin.on_request(head).await.map_err(|error| HarnessError::Call { hook: "on-request", error })?;
    let (changes, context) = match decision {
        Decision::Answer { status, headers, body } => {
            let body = String::from_utf8_lossy(&body).into_owned();
            return Ok(json!({"answer": {"status": status.as_u16(), "headers": to_json(headers.iter()), "body": body}}));
        }
        Decision::Proceed { changes, context } => (changes, context),
    };
    let mut told = json!({"proceed": shown(&changes)});
    if let Some(context) = context {
        let status = StatusCode::from_u16(asked.response.status).map_err(|e| HarnessError::Request(e.to_string()))?;
        let answered = plugin.on_response(context, status, &from_json(&asked.response.headers)?).await;
        told["response"] = shown(&answered.map_err(|error| HarnessError::Call { hook: "on-response", error })?);
    }
    Ok(told)
}

fn shown(changes: &Changes) -> Value {
    let remove: Vec<&str> = changes.remove.iter().map(HeaderName::as_str).collect();
    json!({"remove": remove, "set": to_json(changes.set.iter().map(|(name, value)| (name, value)))})
}

fn to_json<'a>(headers: impl Iterator<Item = (&'a HeaderName, &'a HeaderValue)>) -> Value {
    let text = |value: &HeaderValue| Value::from(String::from_utf8_lossy(value.as_bytes()).into_owned());
    headers.map(|(name, value)| (name.to_string(), text(value))).collect::<Map<String, Value>>().into()
}

/// `{"name": "value"}`, or `{"name": ["value", "another"]}`.
fn from_json(given: &Map<String, Value>) -> Result<HeaderMap, HarnessError> {
    let bad = |name: &str| HarnessError::Request(format!("the header {name:?} is none"));
    let mut headers = HeaderMap::new();
    for (name, value) in given {
        let key = HeaderName::try_from(name.as_str()).map_err(|_| bad(name))?;
        let values = value.as_array().cloned().unwrap_or_else(|| vec![value.clone()]);
        for value in values {
            let value = value.as_str().and_then(|v| HeaderValue::from_str(v).ok()).ok_or_else(|| bad(name))?;
            headers.append(key.clone(), value);
        }
    }
    Ok(headers)
}
