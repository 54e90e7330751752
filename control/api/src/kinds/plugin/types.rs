//! The types of `plugins.wharf.dev/v1`, with the schemas that field validation and `kubectl explain` go by.

use schemars::{JsonSchema, Schema};
use serde::ser::SerializeStruct;
use serde::{Deserialize, Serialize, Serializer};
use serde_json::Value;

use crate::k8s_openapi;
use crate::k8s_openapi::api::admissionregistration::v1::RuleWithOperations;
use crate::k8s_openapi::api::core::v1::SecretReference;
use crate::k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use crate::k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, LabelSelector, ObjectMeta};

/// Plugin extends the cluster by a WebAssembly component of one of the worlds of the WIT package `wharf:plugin`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct Plugin {
    /// Standard object metadata.
    pub metadata: ObjectMeta,
    /// What is wanted.
    pub spec: PluginSpec,
    /// What is.
    pub status: Option<PluginStatus>,
}

/// PluginSpec says which component is run, for what, and what it may do.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
#[schemars(rename = "dev.wharf.plugins.v1.PluginSpec", transform = plain)]
pub struct PluginSpec {
    /// image is the OCI image of the component: a Wasm artifact or container image, or `wharf.local/NAME` for a file beside the manifest.
    pub image: String,
    /// imagePullPolicy is one of Always, IfNotPresent, Never. Defaults to Always for an image with the tag latest, else IfNotPresent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub image_pull_policy: Option<String>,
    /// imagePullSecrets name Secrets of type kubernetes.io/dockerconfigjson with the registry's credentials.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub image_pull_secrets: Option<Vec<SecretReference>>,
    /// world is what the component is asked: `admission` (to change and refuse what is written to the API), or `ingress` (to stand between
    /// clients and the backends of Ingresses).
    pub world: String,
    /// order is when the plugin is asked among those of its world: the lowest first, those of the same order by name. Defaults to 0.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub order: Option<i32>,
    /// failurePolicy is what becomes of a request when the plugin fails: Fail (it is refused) or Ignore (it goes on). Defaults to Fail.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failure_policy: Option<String>,
    /// timeoutSeconds is how long a call may take, 1 to 30. Defaults to 10.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timeout_seconds: Option<i32>,
    /// memoryLimit is how much memory the instance of a call may have, 1Mi to 1Gi. Defaults to 64Mi.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory_limit: Option<Quantity>,
    /// config is what the plugin reads through the interface `wharf:plugin/config`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub config: Option<Vec<PluginConfig>>,
    /// grants are what the plugin may do beside computing. Nothing is granted by default.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub grants: Option<PluginGrants>,
    /// match says what the plugin is asked about: requests of the API, or Ingresses. A plugin of the world ingress may also be named by an
    /// Ingress, in its annotation `plugins.wharf.dev/ingress`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub r#match: Option<PluginMatch>,
}

/// PluginConfig is one value of a plugin's configuration.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
#[schemars(rename = "dev.wharf.plugins.v1.PluginConfig", transform = plain)]
pub struct PluginConfig {
    /// name by which the plugin asks for the value.
    pub name: String,
    /// value as text.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub value: Option<String>,
    /// valueFrom is where the value is, instead of here.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub value_from: Option<PluginConfigSource>,
}

/// PluginConfigSource is a ConfigMap or a Secret; exactly one.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
#[schemars(rename = "dev.wharf.plugins.v1.PluginConfigSource", transform = plain)]
pub struct PluginConfigSource {
    /// configMapKeyRef is a key of a ConfigMap.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub config_map_key_ref: Option<PluginKeyReference>,
    /// secretKeyRef is a key of a Secret.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub secret_key_ref: Option<PluginKeyReference>,
}

/// PluginKeyReference is a key of an object in a namespace.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Deserialize, Serialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
#[schemars(rename = "dev.wharf.plugins.v1.PluginKeyReference", transform = plain)]
pub struct PluginKeyReference {
    /// namespace of the object.
    pub namespace: String,
    /// name of the object.
    pub name: String,
    /// key in its data.
    pub key: String,
    /// optional: the plugin is run without the value while it is missing. Defaults to false: the plugin is not ready without it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub optional: Option<bool>,
}

/// PluginGrants are what a plugin may do beside computing, reading clocks and its configuration.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
#[schemars(rename = "dev.wharf.plugins.v1.PluginGrants", transform = plain)]
pub struct PluginGrants {
    /// http names hosts that it may send requests to: `example.com`, `*.example.com` (one label or more), with `:port` for one port only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub http: Option<Vec<String>>,
    /// logging: what it says through `wharf:plugin/log`, stdout and stderr is written to the log. Without it, it is dropped.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub logging: Option<bool>,
    /// environment: it sees its configuration as environment variables, too.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub environment: Option<bool>,
}

/// PluginMatch says what a plugin is asked about. Without rules, a plugin of the world admission is asked about nothing.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
#[schemars(rename = "dev.wharf.plugins.v1.PluginMatch", transform = plain)]
pub struct PluginMatch {
    /// rules of operations and resources, as those of a ValidatingWebhookConfiguration. World admission only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rules: Option<Vec<RuleWithOperations>>,
    /// namespaceSelector selects by the labels of the object's namespace; objects outside of namespaces always match. World admission only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub namespace_selector: Option<LabelSelector>,
    /// objectSelector selects objects by their labels (of old and new object, one suffices); in the world ingress, Ingresses.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub object_selector: Option<LabelSelector>,
}

/// PluginStatus is what became of a plugin.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
#[schemars(rename = "dev.wharf.plugins.v1.PluginStatus", transform = plain)]
pub struct PluginStatus {
    /// observedGeneration is the generation of the specification that the conditions speak of.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// imageID names the image that serves, by its digest.
    #[serde(rename = "imageID", skip_serializing_if = "Option::is_none")]
    pub image_id: Option<String>,
    /// digest of the component that serves; the one before stays until a new one is ready.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub digest: Option<String>,
    /// conditions: Ready (a component serves), Current (it is the one that the specification asks for).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub conditions: Option<Vec<Condition>>,
}

impl k8s_openapi::Resource for Plugin {
    const API_VERSION: &'static str = "plugins.wharf.dev/v1";
    const GROUP: &'static str = "plugins.wharf.dev";
    const KIND: &'static str = "Plugin";
    const VERSION: &'static str = "v1";
    const URL_PATH_SEGMENT: &'static str = "plugins";
    type Scope = k8s_openapi::ClusterResourceScope;
}

impl k8s_openapi::Metadata for Plugin {
    type Ty = ObjectMeta;
    fn metadata(&self) -> &ObjectMeta {
        &self.metadata
    }
    fn metadata_mut(&mut self) -> &mut ObjectMeta {
        &mut self.metadata
    }
}

impl Serialize for Plugin {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut state = serializer.serialize_struct("Plugin", 4 + usize::from(self.status.is_some()))?;
        state.serialize_field("apiVersion", <Plugin as k8s_openapi::Resource>::API_VERSION)?;
        state.serialize_field("kind", <Plugin as k8s_openapi::Resource>::KIND)?;
        state.serialize_field("metadata", &self.metadata)?;
        state.serialize_field("spec", &self.spec)?;
        if let Some(status) = &self.status {
            state.serialize_field("status", status)?;
        }
        state.end()
    }
}

/// Plugin extends the cluster by a WebAssembly component of one of the worlds of the WIT package `wharf:plugin`.
#[derive(JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "dev.wharf.plugins.v1.Plugin", transform = plain)]
#[expect(dead_code, reason = "only its schema is used")]
struct Whole {
    /// APIVersion defines the versioned schema of this representation of an object. Servers should convert recognized schemas to the latest internal value, and may reject unrecognized values. More info: https://git.k8s.io/community/contributors/devel/sig-architecture/api-conventions.md#resources
    api_version: Option<String>,
    /// Kind is a string value representing the REST resource this object represents. Servers may infer this from the endpoint the client submits requests to. Cannot be updated. In CamelCase. More info: https://git.k8s.io/community/contributors/devel/sig-architecture/api-conventions.md#types-kinds
    kind: Option<String>,
    /// metadata is the standard object metadata. More info: https://git.k8s.io/community/contributors/devel/sig-architecture/api-conventions.md#metadata
    metadata: Option<ObjectMeta>,
    /// spec says which component is run, for what, and what it may do.
    spec: Option<PluginSpec>,
    /// status is what became of the plugin.
    status: Option<PluginStatus>,
}

impl JsonSchema for Plugin {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        Whole::schema_name()
    }
    fn json_schema(generator: &mut schemars::SchemaGenerator) -> Schema {
        Whole::json_schema(generator)
    }
}

/// Kubernetes' schemas know no `null`: what may be absent is only not required.
fn plain(schema: &mut Schema) {
    let Some(whole) = schema.as_object_mut() else { return };
    for property in whole.get_mut("properties").and_then(Value::as_object_mut).into_iter().flat_map(serde_json::Map::values_mut) {
        let Some(property) = property.as_object_mut() else { continue };
        property.remove("default");
        if let Some(one) = property.get("type").and_then(Value::as_array).and_then(|types| types.first()).cloned() {
            property.insert("type".to_owned(), one);
        }
        if let Some(Value::Array(any)) = property.remove("anyOf")
            && let Some(Value::Object(one)) = any.into_iter().next()
        {
            property.extend(one);
        }
    }
}
