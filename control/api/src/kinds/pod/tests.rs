//! Tests of Pods.

use expect_test::{Expect, expect};

use super::Pods;
use crate::kinds::testing::{check_default, check_refused, check_row, check_update_refused};

/// The refusals of a Pod with this spec.
fn refused(spec: &str, expected: &Expect) {
    let spec = spec.trim().replace('\n', "\n  ");
    check_refused::<Pods>(&format!("metadata: {{name: p}}\nspec:\n  {spec}\n"), expected);
}

/// The refusals of a change of a Pod's spec.
fn changed(old: &str, new: &str, expected: &Expect) {
    let pod = |spec: &str| format!("metadata: {{name: p}}\nspec: {{{}}}\n", spec.trim());
    check_update_refused::<Pods>(&pod(old), &pod(new), expected);
}

/// READY, STATUS and RESTARTS of a Pod.
fn shown(yaml: &str) -> String {
    let pod = serde_yaml::from_str(yaml).unwrap();
    let now = crate::table::Now("2026-01-01T00:15:00Z".parse().unwrap());
    let row = (super::columns::columns().row)(&pod, now);
    row[1..4].iter().map(|cell| cell.as_str().unwrap()).collect::<Vec<_>>().join(" ")
}

#[test]
fn fills_in_what_is_left_out() {
    check_default::<Pods>(
        r#"
metadata: {name: p}
spec:
  hostNetwork: true
  nodeName: ""
  serviceAccount: robot
  initContainers: [{name: i, image: busybox}]
  containers:
  - name: c
    image: r.io/a:latest
    stdin: false
    ports: [{containerPort: 80, name: ""}]
    resources: {limits: {cpu: 1, memory: 1Gi}, requests: {cpu: 100u}}
    livenessProbe: {httpGet: {port: 80}, initialDelaySeconds: 0}
    readinessProbe: {grpc: {port: 1}, periodSeconds: 5}
    lifecycle: {preStop: {httpGet: {port: 80, path: /bye}}}
    env:
    - {name: A, value: ""}
    - {name: B, valueFrom: {fieldRef: {fieldPath: status.podIP}}}
    - {name: C, valueFrom: {resourceFieldRef: {resource: limits.cpu}}}
  volumes:
  - {name: e}
  - {name: s, secret: {secretName: x}}
  - {name: h, hostPath: {path: /x}}
  - name: p
    projected: {sources: [{serviceAccountToken: {path: t}}, {downwardAPI: {items: [{path: l, fieldRef: {fieldPath: metadata.labels}}]}}]}
"#,
        &expect![[r#"
            apiVersion: v1
            kind: Pod
            metadata:
              generation: 1
              name: p
            spec:
              containers:
              - env:
                - name: A
                - name: B
                  valueFrom:
                    fieldRef:
                      apiVersion: v1
                      fieldPath: status.podIP
                - name: C
                  valueFrom:
                    resourceFieldRef:
                      divisor: '0'
                      resource: limits.cpu
                image: r.io/a:latest
                imagePullPolicy: Always
                lifecycle:
                  preStop:
                    httpGet:
                      path: /bye
                      port: 80
                      scheme: HTTP
                livenessProbe:
                  failureThreshold: 3
                  httpGet:
                    path: /
                    port: 80
                    scheme: HTTP
                  periodSeconds: 10
                  successThreshold: 1
                  timeoutSeconds: 1
                name: c
                ports:
                - containerPort: 80
                  hostPort: 80
                  protocol: TCP
                readinessProbe:
                  failureThreshold: 3
                  grpc:
                    port: 1
                    service: ''
                  periodSeconds: 5
                  successThreshold: 1
                  timeoutSeconds: 1
                resources:
                  limits:
                    cpu: '1'
                    memory: 1Gi
                  requests:
                    cpu: 1m
                    memory: 1Gi
                terminationMessagePath: /dev/termination-log
                terminationMessagePolicy: File
              dnsPolicy: ClusterFirst
              enableServiceLinks: true
              hostNetwork: true
              initContainers:
              - image: busybox
                imagePullPolicy: Always
                name: i
                resources: {}
                terminationMessagePath: /dev/termination-log
                terminationMessagePolicy: File
              restartPolicy: Always
              schedulerName: default-scheduler
              securityContext: {}
              serviceAccount: robot
              serviceAccountName: robot
              terminationGracePeriodSeconds: 30
              volumes:
              - emptyDir: {}
                name: e
              - name: s
                secret:
                  defaultMode: 420
                  secretName: x
              - hostPath:
                  path: /x
                  type: ''
                name: h
              - name: p
                projected:
                  defaultMode: 420
                  sources:
                  - serviceAccountToken:
                      expirationSeconds: 3600
                      path: t
                  - downwardAPI:
                      items:
                      - fieldRef:
                          apiVersion: v1
                          fieldPath: metadata.labels
                        path: l
            status:
              phase: Pending
              qosClass: Burstable
        "#]],
    );
}

#[test]
fn the_tag_decides_when_to_pull() {
    for (image, policy) in [
        ("busybox", "Always"),
        ("busybox:latest", "Always"),
        ("localhost:5000/busybox", "Always"),
        ("localhost:5000/busybox:1", "IfNotPresent"),
        ("r.io/a@sha256:aaaa", "IfNotPresent"),
        ("r.io/a:latest@sha256:aaaa", "Always"),
        ("", "IfNotPresent"),
    ] {
        assert_eq!(super::pull_policy(Some(image)), policy, "{image}");
    }
}

#[test]
fn requests_and_limits_decide_the_class() {
    let class = |resources: &str| {
        let yaml = format!("spec: {{containers: [{{name: c, resources: {{{resources}}}}}]}}");
        super::qos_class(&serde_yaml::from_str(&yaml).unwrap())
    };
    assert_eq!(class(""), "BestEffort");
    assert_eq!(class("requests: {cpu: 0}"), "BestEffort");
    assert_eq!(class("requests: {cpu: 1}"), "Burstable");
    assert_eq!(class("requests: {cpu: 1, memory: 1Gi}, limits: {cpu: 1000m, memory: 1024Mi}"), "Guaranteed");
    assert_eq!(class("requests: {cpu: 1, memory: 1Gi}, limits: {cpu: 2, memory: 1Gi}"), "Burstable");
}

#[test]
fn refuses_containers() {
    refused(
        r#"
nodeName: n
"#,
        &expect![[r#"
            spec.containers: Required value
        "#]],
    );
    refused(
        r#"
containers: [{name: C!, image: ""}, {name: a, image: " x "}, {name: a, image: x, imagePullPolicy: Sometimes, terminationMessagePolicy: Shout}]
"#,
        &expect![[r#"
            spec.containers[0].name: Invalid value: "C!": a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?')
            spec.containers[0].image: Required value
            spec.containers[2].terminationMessagePolicy: Unsupported value: "Shout": supported values: "File", "FallbackToLogsOnError"
            spec.containers[2].imagePullPolicy: Unsupported value: "Sometimes": supported values: "Always", "IfNotPresent", "Never"
            spec.containers[2].name: Duplicate value: "a"
            spec.containers[1].image: Invalid value: " x ": must not have leading or trailing whitespace
        "#]],
    );
    refused(
        r#"
containers: [{name: c, image: "busybox:1.35", ports: [{containerPort: 0}, {containerPort: 70000, hostPort: -1, protocol: ICMP, name: TOO_LONG_A_NAME_X}, {containerPort: 1, name: a}, {containerPort: 2, name: a}, {containerPort: 3, hostPort: 9}, {containerPort: 4, hostPort: 9}]}]
"#,
        &expect![[r#"
            spec.containers[0].ports[0].containerPort: Required value
            spec.containers[0].ports[1].name: Invalid value: "TOO_LONG_A_NAME_X": must be no more than 15 characters
            spec.containers[0].ports[1].name: Invalid value: "TOO_LONG_A_NAME_X": must contain only alpha-numeric characters (a-z, 0-9), and hyphens (-)
            spec.containers[0].ports[1].name: Invalid value: "TOO_LONG_A_NAME_X": must contain at least one letter (a-z)
            spec.containers[0].ports[1].containerPort: Invalid value: 70000: must be between 1 and 65535, inclusive
            spec.containers[0].ports[1].hostPort: Invalid value: -1: must be between 1 and 65535, inclusive
            spec.containers[0].ports[1].protocol: Unsupported value: "ICMP": supported values: "SCTP", "TCP", "UDP"
            spec.containers[0].ports[3].name: Duplicate value: "a"
            spec.containers[0].ports[5].hostPort: Duplicate value: "TCP//9"
        "#]],
    );
    refused(
        r#"
containers: [{name: c, image: "busybox:1.35", env: [{name: "=a"}, {name: ""}, {name: a, value: b, valueFrom: {fieldRef: {fieldPath: metadata.name}}}, {name: b, valueFrom: {}}, {name: c, valueFrom: {fieldRef: {fieldPath: spec.nope}}}, {name: d, valueFrom: {fieldRef: {fieldPath: status.phase}}}, {name: e, valueFrom: {resourceFieldRef: {resource: limits.gpu}}}, {name: f, valueFrom: {configMapKeyRef: {name: "", key: a/b}}}]}]
"#,
        &expect![[r#"
            spec.containers[0].env[0].name: Invalid value: "=a": a valid environment variable name must consist only of printable ASCII characters other than '='
            spec.containers[0].env[1].name: Required value
            spec.containers[0].env[2].valueFrom: Invalid value: "": may not be specified when `value` is not empty
            spec.containers[0].env[3].valueFrom: Invalid value: "": must specify one of: `fieldRef`, `resourceFieldRef`, `configMapKeyRef`, `secretKeyRef` or `fileKeyRef`
            spec.containers[0].env[4].valueFrom.fieldRef.fieldPath: Invalid value: "spec.nope": error converting fieldPath: field label not supported: spec.nope
            spec.containers[0].env[5].valueFrom.fieldRef.fieldPath: Unsupported value: "status.phase": supported values: "metadata.name", "metadata.namespace", "metadata.uid", "spec.nodeName", "spec.serviceAccountName", "status.hostIP", "status.hostIPs", "status.podIP", "status.podIPs"
            spec.containers[0].env[6].valueFrom.resourceFieldRef.resource: Unsupported value: "limits.gpu": supported values: "limits.cpu", "limits.ephemeral-storage", "limits.memory", "requests.cpu", "requests.ephemeral-storage", "requests.memory"
            spec.containers[0].env[7].valueFrom.configMapKeyRef.name: Required value
            spec.containers[0].env[7].valueFrom.configMapKeyRef.key: Invalid value: "a/b": a valid config key must consist of alphanumeric characters, '-', '_' or '.' (e.g. 'key.name',  or 'KEY_NAME',  or 'key-name', regex used for validation is '[-._a-zA-Z0-9]+')
        "#]],
    );
    refused(
        r#"
containers: [{name: c, image: "busybox:1.35", envFrom: [{}, {configMapRef: {name: ""}, secretRef: {name: s}}]}]
"#,
        &expect![[r#"
            spec.containers[0].envFrom[0]: Invalid value: "": must specify one of: `configMapRef` or `secretRef`
            spec.containers[0].envFrom[1].configMapRef.name: Required value
            spec.containers[0].envFrom[1]: Invalid value: "": may not have more than one field specified at a time
        "#]],
    );
    refused(
        r#"
containers: [{name: c, image: "busybox:1.35", volumeMounts: [{name: v, mountPath: /x}, {name: e, mountPath: /x, subPath: ../y}, {name: "", mountPath: "", subPath: a, subPathExpr: /b, mountPropagation: Both}]}]
volumes: [{name: e, emptyDir: {}}]
"#,
        &expect![[r#"
            spec.containers[0].volumeMounts[0].name: Not found: "v"
            spec.containers[0].volumeMounts[1].mountPath: Invalid value: "/x": must be unique
            spec.containers[0].volumeMounts[1].subPath: Invalid value: "../y": must not contain '..'
            spec.containers[0].volumeMounts[2].name: Required value
            spec.containers[0].volumeMounts[2].name: Not found: ""
            spec.containers[0].volumeMounts[2].mountPath: Required value
            spec.containers[0].volumeMounts[2].subPathExpr: Invalid value: "/b": subPathExpr and subPath are mutually exclusive
            spec.containers[0].volumeMounts[2].subPathExpr: Invalid value: "/b": must be a relative path
            spec.containers[0].volumeMounts[2].mountPropagation: Unsupported value: "Both": supported values: "Bidirectional", "HostToContainer", "None"
        "#]],
    );
    refused(
        r#"
containers: [{name: c, image: "busybox:1.35", resources: {limits: {cpu: 1, foo: 1, example.com/gpu: 1500m}, requests: {cpu: 2, memory: "-1", example.com/gpu: 1}}}]
"#,
        &expect![[r#"
            spec.containers[0].resources.limits[example.com/gpu]: Invalid value: "1500m": must be an integer
            spec.containers[0].resources.limits[foo]: Invalid value: "foo": must be a standard resource type or fully qualified
            spec.containers[0].resources.limits[foo]: Invalid value: "foo": must be a standard resource for containers
            spec.containers[0].resources.requests: Invalid value: "2": must be less than or equal to cpu limit of 1
            spec.containers[0].resources.requests: Invalid value: "1": must be equal to example.com/gpu limit of 1500m
            spec.containers[0].resources.requests[foo]: Invalid value: "foo": must be a standard resource type or fully qualified
            spec.containers[0].resources.requests[foo]: Invalid value: "foo": must be a standard resource for containers
            spec.containers[0].resources.requests[memory]: Invalid value: "-1": must be greater than or equal to 0
        "#]],
    );
    refused(
        r#"
containers: [{name: c, image: "busybox:1.35", livenessProbe: {successThreshold: 2, timeoutSeconds: -1}, readinessProbe: {exec: {}, tcpSocket: {port: 0}, terminationGracePeriodSeconds: 5}, startupProbe: {httpGet: {port: "", scheme: FTP}, successThreshold: 3}}]
"#,
        &expect![[r#"
            spec.containers[0].livenessProbe: Required value: must specify a handler type
            spec.containers[0].livenessProbe.timeoutSeconds: Invalid value: -1: must be greater than or equal to 0
            spec.containers[0].livenessProbe.successThreshold: Invalid value: 2: must be 1
            spec.containers[0].readinessProbe.exec.command: Required value
            spec.containers[0].readinessProbe.tcpSocket: Forbidden: may not specify more than 1 handler type
            spec.containers[0].readinessProbe.terminationGracePeriodSeconds: Invalid value: 5: must not be set for readinessProbes
            spec.containers[0].startupProbe.httpGet.port: Invalid value: "": must contain only alpha-numeric characters (a-z, 0-9), and hyphens (-)
            spec.containers[0].startupProbe.httpGet.port: Invalid value: "": must contain at least one letter (a-z)
            spec.containers[0].startupProbe.httpGet.scheme: Unsupported value: "FTP": supported values: "HTTP", "HTTPS"
            spec.containers[0].startupProbe.successThreshold: Invalid value: 3: must be 1
        "#]],
    );
    refused(
        r#"
containers: [{name: c, image: "busybox:1.35", lifecycle: {preStop: {sleep: {seconds: 60}}, postStart: {}}, securityContext: {runAsUser: -1, privileged: true, allowPrivilegeEscalation: false, seccompProfile: {type: Localhost}}}]
"#,
        &expect![[r#"
            spec.containers[0].securityContext.runAsUser: Invalid value: -1: must be between 0 and 2147483647, inclusive
            spec.containers[0].securityContext.seccompProfile.localhostProfile: Required value: must be set when seccomp type is Localhost
            spec.containers[0].securityContext: Invalid value: {"allowPrivilegeEscalation":false,"privileged":true,"runAsUser":-1,"seccompProfile":{"type":"Localhost"}}: cannot set `allowPrivilegeEscalation` to false and `privileged` to true
            spec.containers[0].lifecycle.postStart: Required value: must specify a handler type
            spec.containers[0].lifecycle.preStop.sleep: Invalid value: 60: must be non-negative and less than terminationGracePeriodSeconds (30)
        "#]],
    );
    refused(
        r#"
initContainers: [{name: c, image: x, livenessProbe: {tcpSocket: {port: 1}}}]
containers: [{name: c, image: "busybox:1.35"}]
"#,
        &expect![[r#"
            spec.initContainers[0].name: Duplicate value: "c"
            spec.initContainers[0].livenessProbe: Forbidden: may not be set for init containers without restartPolicy=Always
        "#]],
    );
}

#[test]
fn refuses_volumes() {
    refused(
        r#"
volumes: [{name: v, emptyDir: {}, hostPath: {path: /x}}, {name: v, secret: {}}, {name: B_, configMap: {name: "", defaultMode: 1000, items: [{key: "", path: ../x}]}}, {name: d, downwardAPI: {items: [{path: /a}, {path: ..b, fieldRef: {fieldPath: spec.nodeName}}]}}]
containers: [{name: c, image: "busybox:1.35"}]
"#,
        &expect![[r#"
            spec.volumes[0].hostPath: Forbidden: may not specify more than 1 volume type
            spec.volumes[1].secret.secretName: Required value
            spec.volumes[1].name: Duplicate value: "v"
            spec.volumes[2].configMap.name: Required value
            spec.volumes[2].configMap.defaultMode: Invalid value: 1000: must be a number between 0 and 0777 (octal), both inclusive
            spec.volumes[2].configMap.items[0].key: Required value
            spec.volumes[2].configMap.items[0].path: Invalid value: "../x": must not contain '..'
            spec.volumes[2].name: Invalid value: "B_": a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?')
            spec.volumes[3].downwardAPI.path: Invalid value: "/a": must be a relative path
            spec.volumes[3].downwardAPI: Required value: one of fieldRef and resourceFieldRef is required
            spec.volumes[3].downwardAPI.path: Invalid value: "..b": must not start with '..'
            spec.volumes[3].downwardAPI.fieldRef.fieldPath: Unsupported value: "spec.nodeName": supported values: "metadata.annotations", "metadata.labels", "metadata.name", "metadata.namespace", "metadata.uid"
        "#]],
    );
    refused(
        r#"
volumes: [{name: p, projected: {sources: [{}, {serviceAccountToken: {path: t, expirationSeconds: 5}}, {secret: {name: s, items: [{key: k, path: t}]}, configMap: {name: c}}]}}, {name: c, persistentVolumeClaim: {claimName: ""}}, {name: h, hostPath: {path: a/../b, type: Thing}}]
serviceAccountName: x
containers: [{name: c, image: "busybox:1.35"}]
"#,
        &expect![[r#"
            spec.volumes[0].projected.sources[0]: Required value: must specify a volume type
            spec.volumes[0].projected.sources[1].serviceAccountToken.expirationSeconds: Invalid value: 5: may not specify a duration less than 10 minutes
            spec.volumes[0].projected.sources[2].configMap: Forbidden: may not specify more than 1 volume type
            spec.volumes[0].projected.sources[2]: Invalid value: "t": conflicting duplicate paths
            spec.volumes[1].persistentVolumeClaim.claimName: Required value
            spec.volumes[2].hostPath.path: Invalid value: "a/../b": must not contain '..'
            spec.volumes[2].hostPath.type: Unsupported value: "Thing": supported values: "", "BlockDevice", "CharDevice", "Directory", "DirectoryOrCreate", "File", "FileOrCreate", "Socket"
        "#]],
    );
}

#[test]
fn refuses_the_rest() {
    refused(
        r#"
restartPolicy: Sometimes
dnsPolicy: None
activeDeadlineSeconds: 0
preemptionPolicy: Maybe
nodeSelector: {"a b": "c d"}
hostname: A.b
serviceAccountName: _
imagePullSecrets: [{}]
os: {name: plan9}
containers: [{name: c, image: "busybox:1.35"}]
"#,
        &expect![[r#"
            spec.restartPolicy: Unsupported value: "Sometimes": supported values: "Always", "OnFailure", "Never"
            spec.nodeSelector: Invalid value: "a b": name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')
            spec.nodeSelector: Invalid value: "c d": a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', regex used for validation is '(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')
            spec.imagePullSecrets[0].name: Required value
            spec.dnsConfig: Required value: must provide `dnsConfig` when `dnsPolicy` is None
            spec.serviceAccountName: Invalid value: "_": a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')
            spec.hostname: Invalid value: "A.b": a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?')
            spec.activeDeadlineSeconds: Invalid value: 0: must be between 1 and 2147483647, inclusive
            spec.preemptionPolicy: Unsupported value: "Maybe": supported values: "Never", "PreemptLowerPriority"
            spec.os.name: Unsupported value: "plan9": supported values: "linux", "windows"
        "#]],
    );
    refused(
        r#"
tolerations: [{operator: Exists, value: x}, {key: k, effect: Nope}, {value: x}, {key: k, operator: Exists, tolerationSeconds: 3}, {key: a, operator: Near}]
containers: [{name: c, image: "busybox:1.35"}]
"#,
        &expect![[r#"
            spec.tolerations[0].operator: Invalid value: "x": value must be empty when `operator` is 'Exists'
            spec.tolerations[1].effect: Unsupported value: "Nope": supported values: "NoSchedule", "PreferNoSchedule", "NoExecute"
            spec.tolerations[2].operator: Invalid value: "": operator must be Exists when `key` is empty, which means "match all values and all keys"
            spec.tolerations[3].effect: Invalid value: "": effect must be 'NoExecute' when `tolerationSeconds` is set
            spec.tolerations[4].operator: Unsupported value: "Near": supported values: "Equal", "Exists"
        "#]],
    );
    refused(
        r#"
topologySpreadConstraints: [{maxSkew: 0, topologyKey: "", whenUnsatisfiable: Shrug, minDomains: 0}]
affinity: {nodeAffinity: {requiredDuringSchedulingIgnoredDuringExecution: {nodeSelectorTerms: []}, preferredDuringSchedulingIgnoredDuringExecution: [{weight: 0, preference: {matchExpressions: [{key: k, operator: In}, {key: k, operator: Gt}, {key: k, operator: Near}]}}]}, podAffinity: {requiredDuringSchedulingIgnoredDuringExecution: [{topologyKey: "", labelSelector: {matchExpressions: [{key: a, operator: Exists, values: [b]}]}}]}}
containers: [{name: c, image: "busybox:1.35"}]
"#,
        &expect![[r#"
            spec.affinity.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution.nodeSelectorTerms: Required value: must have at least one node selector term
            spec.affinity.nodeAffinity.preferredDuringSchedulingIgnoredDuringExecution[0].weight: Invalid value: 0: must be in the range 1-100
            spec.affinity.nodeAffinity.preferredDuringSchedulingIgnoredDuringExecution[0].preference.matchExpressions[0].values: Required value: must be specified when `operator` is 'In' or 'NotIn'
            spec.affinity.nodeAffinity.preferredDuringSchedulingIgnoredDuringExecution[0].preference.matchExpressions[1].values: Required value: must be specified single value when `operator` is 'Lt' or 'Gt'
            spec.affinity.nodeAffinity.preferredDuringSchedulingIgnoredDuringExecution[0].preference.matchExpressions[2].operator: Invalid value: "Near": not a valid selector operator
            spec.affinity.podAffinity.requiredDuringSchedulingIgnoredDuringExecution[0].labelSelector.matchExpressions[0].values: Forbidden: may not be specified when `operator` is 'Exists' or 'DoesNotExist'
            spec.affinity.podAffinity.requiredDuringSchedulingIgnoredDuringExecution[0].topologyKey: Required value: can not be empty
            spec.affinity.podAffinity.requiredDuringSchedulingIgnoredDuringExecution[0].topologyKey: Invalid value: "": name part must be non-empty
            spec.affinity.podAffinity.requiredDuringSchedulingIgnoredDuringExecution[0].topologyKey: Invalid value: "": name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')
            spec.topologySpreadConstraints[0].maxSkew: Invalid value: 0: must be greater than zero
            spec.topologySpreadConstraints[0].topologyKey: Required value: can not be empty
            spec.topologySpreadConstraints[0].whenUnsatisfiable: Unsupported value: "Shrug": supported values: "DoNotSchedule", "ScheduleAnyway"
            spec.topologySpreadConstraints[0].minDomains: Invalid value: 0: must be greater than zero
            spec.topologySpreadConstraints[0].minDomains: Invalid value: 0: can only use minDomains if whenUnsatisfiable=DoNotSchedule, not Shrug
        "#]],
    );
    refused(
        r#"
dnsPolicy: None
dnsConfig: {nameservers: [x], options: [{}]}
hostAliases: [{ip: x, hostnames: [A]}]
readinessGates: [{conditionType: ""}]
schedulingGates: [{name: a}, {name: a}]
containers: [{name: c, image: "busybox:1.35"}]
"#,
        &expect![[r#"
            spec.dnsConfig.nameservers[0]: Invalid value: "x": must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)
            spec.dnsConfig.options[0]: Required value: must not be empty
            spec.readinessGates[0].conditionType: Invalid value: "": name part must be non-empty
            spec.readinessGates[0].conditionType: Invalid value: "": name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')
            spec.schedulingGates[1]: Duplicate value: "a"
            spec.hostAliases[0].ip: Invalid value: "x": must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)
            spec.hostAliases[0].hostnames: Invalid value: "A": a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')
        "#]],
    );
    refused(
        r#"
hostNetwork: true
securityContext: {fsGroup: -1, sysctls: [{name: a, value: b}, {name: a, value: b}]}
shareProcessNamespace: true
hostPID: true
containers: [{name: c, image: "busybox:1.35", ports: [{containerPort: 80, hostPort: 81}]}]
"#,
        &expect![[r#"
            spec.securityContext.fsGroup: Invalid value: -1: must be between 0 and 2147483647, inclusive
            spec.securityContext.sysctls[1].name: Duplicate value: "a"
            spec.securityContext.shareProcessNamespace: Invalid value: true: ShareProcessNamespace and HostPID cannot both be enabled
            spec.containers[0].ports[0].containerPort: Invalid value: 80: must match `hostPort` when `hostNetwork` is true
        "#]],
    );
}

#[test]
fn an_update_changes_little() {
    changed(
        r#"
containers: [{name: c, image: "busybox:1.35"}], activeDeadlineSeconds: 5
"#,
        r#"
containers: [{name: c, image: "busybox:2"}], activeDeadlineSeconds: 4, tolerations: [{key: k, operator: Exists}]
"#,
        &expect![[r#""#]],
    );
    changed(
        r#"
containers: [{name: c, image: "busybox:1.35"}]
"#,
        r#"
containers: [{name: c, image: "busybox:1.35"}], restartPolicy: Never
"#,
        &expect![[r#"
            spec: Forbidden: pod updates may not change fields other than `spec.containers[*].image`,`spec.initContainers[*].image`,`spec.activeDeadlineSeconds`,`spec.tolerations` (only additions to existing tolerations),`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)
            @@ -35,7 +35,7 @@
               }
              ],
              "EphemeralContainers": null,
            - "RestartPolicy": "Always",
            + "RestartPolicy": "Never",
              "TerminationGracePeriodSeconds": 30,
              "ActiveDeadlineSeconds": null,
              "DNSPolicy": "ClusterFirst",

        "#]],
    );
    changed(
        r#"
containers: [{name: c, image: "busybox:1.35"}]
"#,
        r#"
containers: [{name: c, image: "busybox:1.35", command: [x]}], activeDeadlineSeconds: 3
"#,
        &expect![[r#"
            spec: Forbidden: pod updates may not change fields other than `spec.containers[*].image`,`spec.initContainers[*].image`,`spec.activeDeadlineSeconds`,`spec.tolerations` (only additions to existing tolerations),`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)
            @@ -5,7 +5,9 @@
               {
                "Name": "c",
                "Image": "busybox:1.35",
            -   "Command": null,
            +   "Command": [
            +    "x"
            +   ],
                "Args": null,
                "WorkingDir": "",
                "Ports": null,

        "#]],
    );
    changed(
        r#"
containers: [{name: c, image: "busybox:1.35"}]
"#,
        r#"
containers: [{name: c, image: a}, {name: d, image: b}]
"#,
        &expect![[r#"
            spec.containers: Forbidden: pod updates may not add or remove containers
        "#]],
    );
    changed(
        r#"
containers: [{name: c, image: "busybox:1.35"}], activeDeadlineSeconds: 5, tolerations: [{key: k, operator: Exists}]
"#,
        r#"
containers: [{name: c, image: "busybox:1.35"}], schedulingGates: [{name: g}]
"#,
        &expect![[r#"
            spec.activeDeadlineSeconds: Invalid value: null: must not update from a positive integer to nil value
            spec.schedulingGates: Forbidden: only deletion is allowed, but found new scheduling gate 'g'
            spec.tolerations: Forbidden: existing toleration can not be modified except its tolerationSeconds
        "#]],
    );
    changed(
        r#"
containers: [{name: c, image: "busybox:1.35"}], schedulingGates: [{name: g}]
"#,
        r#"
containers: [{name: c, image: "busybox:1.35"}], nodeSelector: {a: b}
"#,
        &expect![[r#""#]],
    );
}

#[test]
fn prints_a_row() {
    check_row::<Pods>(
        r#"
metadata: {name: p, creationTimestamp: 2026-01-01T00:00:00Z}
spec: {containers: [{name: c}], nodeName: n, readinessGates: [{conditionType: a}, {conditionType: b}]}
status: {phase: Running, podIPs: [{ip: 10.244.0.7}], conditions: [{type: a, status: "True"}], containerStatuses: [{name: c, ready: true, restartCount: 1, image: x, imageID: y, state: {running: {}}, lastState: {terminated: {exitCode: 1, finishedAt: 2026-01-01T00:10:00Z}}}]}
"#,
        &expect![[r#"
            Name: p
            Ready: 1/1
            Status: Running
            Restarts: 1 (5m ago)
            Age: 15m
            IP: 10.244.0.7
            Node: n
            Nominated Node: <none>
            Readiness Gates: 1/2
        "#]],
    );
    check_row::<Pods>(
        r#"
metadata: {name: p, creationTimestamp: 2026-01-01T00:00:00Z}
spec: {nodeSelector: {a: b}, containers: [{name: c}]}
status: {phase: Pending}
"#,
        &expect![[r#"
            Name: p
            Ready: 0/1
            Status: Pending
            Restarts: 0
            Age: 15m
            IP: <none>
            Node: <none>
            Nominated Node: <none>
            Readiness Gates: <none>
        "#]],
    );
}

#[test]
fn says_how_a_pod_is() {
    assert_eq!(
        shown(
            r#"
metadata: {name: p}
spec: {containers: [{name: c}]}
status: {phase: Running, containerStatuses: [{name: c, ready: false, restartCount: 3, image: x, imageID: y, state: {waiting: {reason: CrashLoopBackOff}}}]}
"#
        ),
        "0/1 CrashLoopBackOff 3"
    );
    assert_eq!(
        shown(
            r#"
metadata: {name: p}
spec: {containers: [{name: c}]}
status: {phase: Pending, containerStatuses: [{name: c, ready: false, restartCount: 0, image: x, imageID: y, state: {waiting: {reason: ContainerCreating}}}]}
"#
        ),
        "0/1 ContainerCreating 0"
    );
    assert_eq!(
        shown(
            r#"
metadata: {name: p}
spec: {containers: [{name: c}]}
status: {phase: Succeeded, containerStatuses: [{name: c, ready: false, restartCount: 0, image: x, imageID: y, state: {terminated: {exitCode: 0, reason: Completed}}}]}
"#
        ),
        "0/1 Completed 0"
    );
    assert_eq!(
        shown(
            r#"
metadata: {name: p}
spec: {containers: [{name: c}]}
status: {phase: Failed, containerStatuses: [{name: c, ready: false, restartCount: 0, image: x, imageID: y, state: {terminated: {exitCode: 7}}}]}
"#
        ),
        "0/1 ExitCode:7 0"
    );
    assert_eq!(
        shown(
            r#"
metadata: {name: p}
spec: {containers: [{name: c}]}
status: {phase: Failed, containerStatuses: [{name: c, ready: false, restartCount: 0, image: x, imageID: y, state: {terminated: {exitCode: 137, signal: 9}}}]}
"#
        ),
        "0/1 Signal:9 0"
    );
    assert_eq!(
        shown(
            r#"
metadata: {name: p}
spec: {containers: [{name: c}]}
status: {phase: Failed, reason: Evicted}
"#
        ),
        "0/1 Evicted 0"
    );
    assert_eq!(
        shown(
            r#"
metadata: {name: p, deletionTimestamp: 2026-01-01T00:00:00Z}
spec: {containers: [{name: c}]}
status: {phase: Running, containerStatuses: [{name: c, ready: true, restartCount: 0, image: x, imageID: y, state: {running: {}}}]}
"#
        ),
        "1/1 Terminating 0"
    );
    assert_eq!(
        shown(
            r#"
metadata: {name: p, deletionTimestamp: 2026-01-01T00:00:00Z}
spec: {containers: [{name: c}]}
status: {phase: Running, reason: NodeLost, containerStatuses: [{name: c, ready: true, restartCount: 0, image: x, imageID: y, state: {running: {}}}]}
"#
        ),
        "1/1 Unknown 0"
    );
    assert_eq!(
        shown(
            r#"
metadata: {name: p}
spec: {containers: [{name: c}]}
status: {phase: Pending, conditions: [{type: PodScheduled, status: "False", reason: SchedulingGated}]}
"#
        ),
        "0/1 SchedulingGated 0"
    );
    assert_eq!(
        shown(
            r#"
metadata: {name: p}
spec: {containers: [{name: c}, {name: d}]}
status: {phase: Running, conditions: [{type: Ready, status: "True"}], containerStatuses: [{name: c, ready: false, restartCount: 0, image: x, imageID: y, state: {terminated: {exitCode: 0, reason: Completed}}}, {name: d, ready: true, restartCount: 0, image: x, imageID: y, state: {running: {}}}]}
"#
        ),
        "1/2 Running 0"
    );
    assert_eq!(
        shown(
            r#"
metadata: {name: p}
spec: {containers: [{name: c}, {name: d}]}
status: {phase: Running, containerStatuses: [{name: c, ready: false, restartCount: 0, image: x, imageID: y, state: {terminated: {exitCode: 0, reason: Completed}}}, {name: d, ready: true, restartCount: 0, image: x, imageID: y, state: {running: {}}}]}
"#
        ),
        "1/2 NotReady 0"
    );
    assert_eq!(
        shown(
            r#"
metadata: {name: p}
spec: {containers: [{name: c}], initContainers: [{name: a}, {name: b}]}
status: {phase: Pending, initContainerStatuses: [{name: a, ready: false, restartCount: 0, image: x, imageID: y, state: {running: {}}}]}
"#
        ),
        "0/1 Init:0/2 0"
    );
    assert_eq!(
        shown(
            r#"
metadata: {name: p}
spec: {containers: [{name: c}], initContainers: [{name: a}]}
status: {phase: Pending, initContainerStatuses: [{name: a, ready: false, restartCount: 2, image: x, imageID: y, state: {waiting: {reason: CrashLoopBackOff}}}]}
"#
        ),
        "0/1 Init:CrashLoopBackOff 2"
    );
    assert_eq!(
        shown(
            r#"
metadata: {name: p}
spec: {containers: [{name: c}], initContainers: [{name: a}]}
status: {phase: Pending, initContainerStatuses: [{name: a, ready: false, restartCount: 1, image: x, imageID: y, state: {terminated: {exitCode: 1, reason: Error}}}]}
"#
        ),
        "0/1 Init:Error 1"
    );
    assert_eq!(
        shown(
            r#"
metadata: {name: p}
spec: {containers: [{name: c}], initContainers: [{name: a}]}
status: {phase: Pending, initContainerStatuses: [{name: a, ready: false, restartCount: 0, image: x, imageID: y, state: {terminated: {exitCode: 3}}}]}
"#
        ),
        "0/1 Init:ExitCode:3 0"
    );
    assert_eq!(
        shown(
            r#"
metadata: {name: p}
spec: {containers: [{name: c}], initContainers: [{name: a, restartPolicy: Always}]}
status: {phase: Running, initContainerStatuses: [{name: a, ready: true, started: true, restartCount: 4, image: x, imageID: y, state: {running: {}}}], containerStatuses: [{name: c, ready: true, restartCount: 0, image: x, imageID: y, state: {running: {}}}]}
"#
        ),
        "2/2 Running 4"
    );
}
