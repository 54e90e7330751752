//! A PodSpec as Kubernetes prints it in refusals: its internal form, with every field under its Go name,
//! as one line or as lines to compare.

use std::fmt::Write;

use serde_json::Value;

use crate::k8s_openapi::api::core::v1::{PodSpec, PodTemplateSpec};

/// The spec over many lines, indented by one space.
pub(crate) fn lines(spec: &PodSpec) -> String {
    let mut out = String::new();
    print(&to_value(spec), &Shape::Struct(POD_SPEC), Some(0), &mut out);
    out
}

/// The template in one line.
pub(crate) fn template(template: &PodTemplateSpec) -> String {
    let mut out = String::from("{");
    if let Ok(Value::Object(meta)) = serde_json::to_value(&template.metadata) {
        for (key, value) in meta {
            let _ = write!(out, "{}:{value},", Value::from(key));
        }
    }
    out.push_str("\"Spec\":");
    print(&template.spec.as_ref().map_or(Value::Null, to_value), &Shape::Struct(POD_SPEC), None, &mut out);
    out.push('}');
    out
}

/// Host namespaces are part of the security context in the internal form.
fn to_value(spec: &PodSpec) -> Value {
    let mut value = serde_json::to_value(spec).unwrap_or_default();
    let moved: Vec<(&str, Value)> = ["hostNetwork", "hostPID", "hostIPC", "shareProcessNamespace", "hostUsers"]
        .into_iter()
        .filter_map(|field| Some((field, value.as_object_mut()?.remove(field)?)))
        .collect();
    if let Some(context) = value.get_mut("securityContext").and_then(Value::as_object_mut) {
        context.extend(moved.into_iter().map(|(k, v)| (k.to_owned(), v)));
    }
    value
}

enum Shape {
    /// Printed as it is.
    Plain,
    /// Fields of a type that has no table here: names get a capital.
    Other,
    Struct(&'static [Field]),
    List(&'static Shape),
}

struct Field {
    go: &'static str,
    json: &'static str,
    absent: &'static str,
    shape: Shape,
}

const fn f(go: &'static str, json: &'static str, absent: &'static str, shape: Shape) -> Field {
    Field { go, json, absent, shape }
}

/// A pointer, list or map.
const fn nil(go: &'static str, json: &'static str) -> Field {
    f(go, json, "null", Shape::Plain)
}

const fn text(go: &'static str, json: &'static str) -> Field {
    f(go, json, "\"\"", Shape::Plain)
}

const fn zero(go: &'static str, json: &'static str) -> Field {
    f(go, json, "0", Shape::Plain)
}

const fn off(go: &'static str, json: &'static str) -> Field {
    f(go, json, "false", Shape::Plain)
}

const fn of(go: &'static str, json: &'static str, fields: &'static [Field]) -> Field {
    f(go, json, "null", Shape::Struct(fields))
}

const fn list(go: &'static str, json: &'static str, shape: &'static Shape) -> Field {
    f(go, json, "null", Shape::List(shape))
}

fn print(value: &Value, shape: &Shape, indent: Option<usize>, out: &mut String) {
    match (shape, value) {
        (Shape::Struct(fields), Value::Object(object)) => {
            let members = fields.iter().map(|field| {
                let value = object.get(field.json).filter(|v| !is_nothing(v));
                (field.go.to_owned(), value.map(|v| (v, &field.shape)), field.absent)
            });
            print_members(members.collect(), indent, out);
        }
        (Shape::Other, Value::Object(object)) => {
            let members = object.iter().map(|(key, value)| {
                let mut letters = key.chars();
                let go: String = letters.next().into_iter().flat_map(char::to_uppercase).chain(letters).collect();
                (go, Some((value, &Shape::Other)), "null")
            });
            print_members(members.collect(), indent, out);
        }
        (Shape::Plain, Value::Object(object)) => {
            print_members(object.iter().map(|(k, v)| (k.clone(), Some((v, &Shape::Plain)), "null")).collect(), indent, out);
        }
        (shape, Value::Array(items)) => {
            let item = if let Shape::List(item) = shape { item } else { shape };
            let inner = indent.map(|n| n + 1);
            out.push('[');
            for (i, value) in items.iter().enumerate() {
                if i > 0 {
                    out.push(',');
                }
                new_line(inner, out);
                print(value, item, inner, out);
            }
            if !items.is_empty() {
                new_line(indent, out);
            }
            out.push(']');
        }
        (_, value) => {
            let _ = write!(out, "{value}");
        }
    }
}

type Member<'a> = (String, Option<(&'a Value, &'a Shape)>, &'static str);

fn print_members(members: Vec<Member<'_>>, indent: Option<usize>, out: &mut String) {
    let inner = indent.map(|n| n + 1);
    out.push('{');
    for (i, (name, value, absent)) in members.iter().enumerate() {
        if i > 0 {
            out.push(',');
        }
        new_line(inner, out);
        let _ = write!(out, "\"{name}\":{}", if indent.is_some() { " " } else { "" });
        match value {
            Some((value, shape)) => print(value, shape, inner, out),
            None => out.push_str(absent),
        }
    }
    if !members.is_empty() {
        new_line(indent, out);
    }
    out.push('}');
}

fn new_line(indent: Option<usize>, out: &mut String) {
    if let Some(n) = indent {
        out.push('\n');
        out.extend(std::iter::repeat_n(' ', n));
    }
}

/// Empty lists and maps are nothing, but an empty struct is something.
fn is_nothing(value: &Value) -> bool {
    value.is_null() || value.as_array().is_some_and(Vec::is_empty)
}

const POD_SPEC: &[Field] = &[
    list("Volumes", "volumes", &Shape::Struct(VOLUME)),
    list("InitContainers", "initContainers", &Shape::Struct(CONTAINER)),
    list("Containers", "containers", &Shape::Struct(CONTAINER)),
    list("EphemeralContainers", "ephemeralContainers", &Shape::Struct(EPHEMERAL_CONTAINER)),
    text("RestartPolicy", "restartPolicy"),
    nil("TerminationGracePeriodSeconds", "terminationGracePeriodSeconds"),
    nil("ActiveDeadlineSeconds", "activeDeadlineSeconds"),
    text("DNSPolicy", "dnsPolicy"),
    nil("NodeSelector", "nodeSelector"),
    text("ServiceAccountName", "serviceAccountName"),
    nil("AutomountServiceAccountToken", "automountServiceAccountToken"),
    text("NodeName", "nodeName"),
    of("SecurityContext", "securityContext", POD_SECURITY_CONTEXT),
    list("ImagePullSecrets", "imagePullSecrets", &Shape::Struct(LOCAL_REFERENCE)),
    text("Hostname", "hostname"),
    text("Subdomain", "subdomain"),
    nil("SetHostnameAsFQDN", "setHostnameAsFQDN"),
    of("Affinity", "affinity", AFFINITY),
    text("SchedulerName", "schedulerName"),
    list("Tolerations", "tolerations", &Shape::Struct(TOLERATION)),
    list("HostAliases", "hostAliases", &Shape::Struct(&[text("IP", "ip"), nil("Hostnames", "hostnames")])),
    text("PriorityClassName", "priorityClassName"),
    nil("Priority", "priority"),
    nil("PreemptionPolicy", "preemptionPolicy"),
    of("DNSConfig", "dnsConfig", DNS_CONFIG),
    list("ReadinessGates", "readinessGates", &Shape::Struct(&[text("ConditionType", "conditionType")])),
    nil("RuntimeClassName", "runtimeClassName"),
    nil("Overhead", "overhead"),
    nil("EnableServiceLinks", "enableServiceLinks"),
    list("TopologySpreadConstraints", "topologySpreadConstraints", &Shape::Struct(TOPOLOGY_SPREAD)),
    of("OS", "os", &[text("Name", "name")]),
    list("SchedulingGates", "schedulingGates", &Shape::Struct(&[text("Name", "name")])),
    list("ResourceClaims", "resourceClaims", &Shape::Struct(RESOURCE_CLAIM)),
    of("Resources", "resources", RESOURCES),
    nil("HostnameOverride", "hostnameOverride"),
    f("SchedulingGroup", "schedulingGroup", "null", Shape::Other),
];

const POD_SECURITY_CONTEXT: &[Field] = &[
    off("HostNetwork", "hostNetwork"),
    off("HostPID", "hostPID"),
    off("HostIPC", "hostIPC"),
    nil("ShareProcessNamespace", "shareProcessNamespace"),
    nil("HostUsers", "hostUsers"),
    of("SELinuxOptions", "seLinuxOptions", SE_LINUX),
    f("WindowsOptions", "windowsOptions", "null", Shape::Other),
    nil("RunAsUser", "runAsUser"),
    nil("RunAsGroup", "runAsGroup"),
    nil("RunAsNonRoot", "runAsNonRoot"),
    nil("SupplementalGroups", "supplementalGroups"),
    nil("SupplementalGroupsPolicy", "supplementalGroupsPolicy"),
    nil("FSGroup", "fsGroup"),
    nil("FSGroupChangePolicy", "fsGroupChangePolicy"),
    list("Sysctls", "sysctls", &Shape::Struct(NAME_VALUE)),
    of("SeccompProfile", "seccompProfile", PROFILE),
    of("AppArmorProfile", "appArmorProfile", PROFILE),
    nil("SELinuxChangePolicy", "seLinuxChangePolicy"),
];

const CONTAINER: &[Field] = &[
    text("Name", "name"),
    text("Image", "image"),
    nil("Command", "command"),
    nil("Args", "args"),
    text("WorkingDir", "workingDir"),
    list("Ports", "ports", &Shape::Struct(PORT)),
    list("EnvFrom", "envFrom", &Shape::Struct(ENV_FROM)),
    list("Env", "env", &Shape::Struct(ENV)),
    of("Resources", "resources", RESOURCES),
    list("ResizePolicy", "resizePolicy", &Shape::Struct(&[text("ResourceName", "resourceName"), text("RestartPolicy", "restartPolicy")])),
    nil("RestartPolicy", "restartPolicy"),
    f("RestartPolicyRules", "restartPolicyRules", "null", Shape::Other),
    list("VolumeMounts", "volumeMounts", &Shape::Struct(MOUNT)),
    list("VolumeDevices", "volumeDevices", &Shape::Struct(&[text("Name", "name"), text("DevicePath", "devicePath")])),
    of("LivenessProbe", "livenessProbe", PROBE),
    of("ReadinessProbe", "readinessProbe", PROBE),
    of("StartupProbe", "startupProbe", PROBE),
    of("Lifecycle", "lifecycle", LIFECYCLE),
    text("TerminationMessagePath", "terminationMessagePath"),
    text("TerminationMessagePolicy", "terminationMessagePolicy"),
    text("ImagePullPolicy", "imagePullPolicy"),
    of("SecurityContext", "securityContext", SECURITY_CONTEXT),
    off("Stdin", "stdin"),
    off("StdinOnce", "stdinOnce"),
    off("TTY", "tty"),
];

const EPHEMERAL_CONTAINER: &[Field] = &[
    text("Name", "name"),
    text("Image", "image"),
    nil("Command", "command"),
    nil("Args", "args"),
    text("WorkingDir", "workingDir"),
    list("Ports", "ports", &Shape::Struct(PORT)),
    list("EnvFrom", "envFrom", &Shape::Struct(ENV_FROM)),
    list("Env", "env", &Shape::Struct(ENV)),
    of("Resources", "resources", RESOURCES),
    f("ResizePolicy", "resizePolicy", "null", Shape::Other),
    nil("RestartPolicy", "restartPolicy"),
    f("RestartPolicyRules", "restartPolicyRules", "null", Shape::Other),
    list("VolumeMounts", "volumeMounts", &Shape::Struct(MOUNT)),
    list("VolumeDevices", "volumeDevices", &Shape::Struct(&[text("Name", "name"), text("DevicePath", "devicePath")])),
    of("LivenessProbe", "livenessProbe", PROBE),
    of("ReadinessProbe", "readinessProbe", PROBE),
    of("StartupProbe", "startupProbe", PROBE),
    of("Lifecycle", "lifecycle", LIFECYCLE),
    text("TerminationMessagePath", "terminationMessagePath"),
    text("TerminationMessagePolicy", "terminationMessagePolicy"),
    text("ImagePullPolicy", "imagePullPolicy"),
    of("SecurityContext", "securityContext", SECURITY_CONTEXT),
    off("Stdin", "stdin"),
    off("StdinOnce", "stdinOnce"),
    off("TTY", "tty"),
    text("TargetContainerName", "targetContainerName"),
];

const LOCAL_REFERENCE: &[Field] = &[text("Name", "name")];
const NAME_VALUE: &[Field] = &[text("Name", "name"), text("Value", "value")];
const PROFILE: &[Field] = &[text("Type", "type"), nil("LocalhostProfile", "localhostProfile")];
const SE_LINUX: &[Field] = &[text("User", "user"), text("Role", "role"), text("Type", "type"), text("Level", "level")];
const RESOURCES: &[Field] = &[nil("Limits", "limits"), nil("Requests", "requests"), f("Claims", "claims", "null", Shape::Other)];
const RESOURCE_CLAIM: &[Field] =
    &[text("Name", "name"), nil("ResourceClaimName", "resourceClaimName"), nil("ResourceClaimTemplateName", "resourceClaimTemplateName")];
const PORT: &[Field] =
    &[text("Name", "name"), zero("HostPort", "hostPort"), zero("ContainerPort", "containerPort"), text("Protocol", "protocol"), text("HostIP", "hostIP")];
const KEY_SELECTOR: &[Field] = &[text("Name", "name"), text("Key", "key"), nil("Optional", "optional")];
const OPTIONAL_REFERENCE: &[Field] = &[text("Name", "name"), nil("Optional", "optional")];
const FIELD_REF: &[Field] = &[text("APIVersion", "apiVersion"), text("FieldPath", "fieldPath")];
const RESOURCE_FIELD_REF: &[Field] = &[text("ContainerName", "containerName"), text("Resource", "resource"), f("Divisor", "divisor", "\"0\"", Shape::Plain)];
const ENV: &[Field] = &[
    text("Name", "name"),
    text("Value", "value"),
    of(
        "ValueFrom",
        "valueFrom",
        &[
            of("FieldRef", "fieldRef", FIELD_REF),
            of("ResourceFieldRef", "resourceFieldRef", RESOURCE_FIELD_REF),
            of("ConfigMapKeyRef", "configMapKeyRef", KEY_SELECTOR),
            of("SecretKeyRef", "secretKeyRef", KEY_SELECTOR),
            f("FileKeyRef", "fileKeyRef", "null", Shape::Other),
        ],
    ),
];
const ENV_FROM: &[Field] =
    &[text("Prefix", "prefix"), of("ConfigMapRef", "configMapRef", OPTIONAL_REFERENCE), of("SecretRef", "secretRef", OPTIONAL_REFERENCE)];
const MOUNT: &[Field] = &[
    text("Name", "name"),
    off("ReadOnly", "readOnly"),
    nil("RecursiveReadOnly", "recursiveReadOnly"),
    text("MountPath", "mountPath"),
    text("SubPath", "subPath"),
    nil("MountPropagation", "mountPropagation"),
    text("SubPathExpr", "subPathExpr"),
];
const EXEC: &[Field] = &[nil("Command", "command")];
const HTTP_GET: &[Field] = &[
    text("Path", "path"),
    zero("Port", "port"),
    text("Host", "host"),
    text("Scheme", "scheme"),
    list("HTTPHeaders", "httpHeaders", &Shape::Struct(NAME_VALUE)),
];
const TCP_SOCKET: &[Field] = &[zero("Port", "port"), text("Host", "host")];
const PROBE: &[Field] = &[
    of("Exec", "exec", EXEC),
    of("HTTPGet", "httpGet", HTTP_GET),
    of("TCPSocket", "tcpSocket", TCP_SOCKET),
    of("GRPC", "grpc", &[zero("Port", "port"), nil("Service", "service")]),
    zero("InitialDelaySeconds", "initialDelaySeconds"),
    zero("TimeoutSeconds", "timeoutSeconds"),
    zero("PeriodSeconds", "periodSeconds"),
    zero("SuccessThreshold", "successThreshold"),
    zero("FailureThreshold", "failureThreshold"),
    nil("TerminationGracePeriodSeconds", "terminationGracePeriodSeconds"),
];
const HANDLER: &[Field] = &[
    of("Exec", "exec", EXEC),
    of("HTTPGet", "httpGet", HTTP_GET),
    of("TCPSocket", "tcpSocket", TCP_SOCKET),
    of("Sleep", "sleep", &[zero("Seconds", "seconds")]),
];
const LIFECYCLE: &[Field] = &[of("PostStart", "postStart", HANDLER), of("PreStop", "preStop", HANDLER), nil("StopSignal", "stopSignal")];
const SECURITY_CONTEXT: &[Field] = &[
    of("Capabilities", "capabilities", &[nil("Add", "add"), nil("Drop", "drop")]),
    nil("Privileged", "privileged"),
    of("SELinuxOptions", "seLinuxOptions", SE_LINUX),
    f("WindowsOptions", "windowsOptions", "null", Shape::Other),
    nil("RunAsUser", "runAsUser"),
    nil("RunAsGroup", "runAsGroup"),
    nil("RunAsNonRoot", "runAsNonRoot"),
    nil("ReadOnlyRootFilesystem", "readOnlyRootFilesystem"),
    nil("AllowPrivilegeEscalation", "allowPrivilegeEscalation"),
    nil("ProcMount", "procMount"),
    of("SeccompProfile", "seccompProfile", PROFILE),
    of("AppArmorProfile", "appArmorProfile", PROFILE),
];
const TOLERATION: &[Field] =
    &[text("Key", "key"), text("Operator", "operator"), text("Value", "value"), text("Effect", "effect"), nil("TolerationSeconds", "tolerationSeconds")];
const DNS_CONFIG: &[Field] = &[
    nil("Nameservers", "nameservers"),
    nil("Searches", "searches"),
    list("Options", "options", &Shape::Struct(&[text("Name", "name"), nil("Value", "value")])),
];
const TOPOLOGY_SPREAD: &[Field] = &[
    zero("MaxSkew", "maxSkew"),
    text("TopologyKey", "topologyKey"),
    text("WhenUnsatisfiable", "whenUnsatisfiable"),
    nil("LabelSelector", "labelSelector"),
    nil("MinDomains", "minDomains"),
    nil("NodeAffinityPolicy", "nodeAffinityPolicy"),
    nil("NodeTaintsPolicy", "nodeTaintsPolicy"),
    nil("MatchLabelKeys", "matchLabelKeys"),
];
const REQUIREMENT: &[Field] = &[text("Key", "key"), text("Operator", "operator"), nil("Values", "values")];
const NODE_TERM: &[Field] =
    &[list("MatchExpressions", "matchExpressions", &Shape::Struct(REQUIREMENT)), list("MatchFields", "matchFields", &Shape::Struct(REQUIREMENT))];
const POD_TERM: &[Field] = &[
    nil("LabelSelector", "labelSelector"),
    nil("Namespaces", "namespaces"),
    text("TopologyKey", "topologyKey"),
    nil("NamespaceSelector", "namespaceSelector"),
    nil("MatchLabelKeys", "matchLabelKeys"),
    nil("MismatchLabelKeys", "mismatchLabelKeys"),
];
const POD_AFFINITY: &[Field] = &[
    list("RequiredDuringSchedulingIgnoredDuringExecution", "requiredDuringSchedulingIgnoredDuringExecution", &Shape::Struct(POD_TERM)),
    list(
        "PreferredDuringSchedulingIgnoredDuringExecution",
        "preferredDuringSchedulingIgnoredDuringExecution",
        &Shape::Struct(&[zero("Weight", "weight"), of("PodAffinityTerm", "podAffinityTerm", POD_TERM)]),
    ),
];
const AFFINITY: &[Field] = &[
    of(
        "NodeAffinity",
        "nodeAffinity",
        &[
            of(
                "RequiredDuringSchedulingIgnoredDuringExecution",
                "requiredDuringSchedulingIgnoredDuringExecution",
                &[list("NodeSelectorTerms", "nodeSelectorTerms", &Shape::Struct(NODE_TERM))],
            ),
            list(
                "PreferredDuringSchedulingIgnoredDuringExecution",
                "preferredDuringSchedulingIgnoredDuringExecution",
                &Shape::Struct(&[zero("Weight", "weight"), of("Preference", "preference", NODE_TERM)]),
            ),
        ],
    ),
    of("PodAffinity", "podAffinity", POD_AFFINITY),
    of("PodAntiAffinity", "podAntiAffinity", POD_AFFINITY),
];
const KEY_TO_PATH: Shape = Shape::Struct(&[text("Key", "key"), text("Path", "path"), nil("Mode", "mode")]);
const DOWNWARD_FILE: Shape = Shape::Struct(&[
    text("Path", "path"),
    of("FieldRef", "fieldRef", FIELD_REF),
    of("ResourceFieldRef", "resourceFieldRef", RESOURCE_FIELD_REF),
    nil("Mode", "mode"),
]);
const NAMED_ITEMS: &[Field] = &[text("Name", "name"), list("Items", "items", &KEY_TO_PATH), nil("Optional", "optional")];
const PROJECTION: &[Field] = &[
    of("Secret", "secret", NAMED_ITEMS),
    of("DownwardAPI", "downwardAPI", &[list("Items", "items", &DOWNWARD_FILE)]),
    of("ConfigMap", "configMap", NAMED_ITEMS),
    of("ServiceAccountToken", "serviceAccountToken", &[text("Audience", "audience"), zero("ExpirationSeconds", "expirationSeconds"), text("Path", "path")]),
    f("ClusterTrustBundle", "clusterTrustBundle", "null", Shape::Other),
    f("PodCertificate", "podCertificate", "null", Shape::Other),
];

const fn other(go: &'static str, json: &'static str) -> Field {
    f(go, json, "null", Shape::Other)
}

const VOLUME: &[Field] = &[
    text("Name", "name"),
    of("HostPath", "hostPath", &[text("Path", "path"), nil("Type", "type")]),
    of("EmptyDir", "emptyDir", &[text("Medium", "medium"), nil("SizeLimit", "sizeLimit")]),
    other("GCEPersistentDisk", "gcePersistentDisk"),
    other("AWSElasticBlockStore", "awsElasticBlockStore"),
    other("GitRepo", "gitRepo"),
    of(
        "Secret",
        "secret",
        &[text("SecretName", "secretName"), list("Items", "items", &KEY_TO_PATH), nil("DefaultMode", "defaultMode"), nil("Optional", "optional")],
    ),
    of("NFS", "nfs", &[text("Server", "server"), text("Path", "path"), off("ReadOnly", "readOnly")]),
    other("ISCSI", "iscsi"),
    other("Glusterfs", "glusterfs"),
    of("PersistentVolumeClaim", "persistentVolumeClaim", &[text("ClaimName", "claimName"), off("ReadOnly", "readOnly")]),
    other("RBD", "rbd"),
    other("Quobyte", "quobyte"),
    other("FlexVolume", "flexVolume"),
    other("Cinder", "cinder"),
    other("CephFS", "cephfs"),
    other("Flocker", "flocker"),
    of("DownwardAPI", "downwardAPI", &[list("Items", "items", &DOWNWARD_FILE), nil("DefaultMode", "defaultMode")]),
    other("FC", "fc"),
    other("AzureFile", "azureFile"),
    of("ConfigMap", "configMap", &[text("Name", "name"), list("Items", "items", &KEY_TO_PATH), nil("DefaultMode", "defaultMode"), nil("Optional", "optional")]),
    other("VsphereVolume", "vsphereVolume"),
    other("AzureDisk", "azureDisk"),
    other("PhotonPersistentDisk", "photonPersistentDisk"),
    of("Projected", "projected", &[list("Sources", "sources", &Shape::Struct(PROJECTION)), nil("DefaultMode", "defaultMode")]),
    other("PortworxVolume", "portworxVolume"),
    other("ScaleIO", "scaleIO"),
    other("StorageOS", "storageos"),
    other("CSI", "csi"),
    other("Ephemeral", "ephemeral"),
    of("Image", "image", &[text("Reference", "reference"), text("PullPolicy", "pullPolicy")]),
];
