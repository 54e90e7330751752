//! Whole pages, as they come out.

use expect_test::expect;
use serde_json::json;

use super::*;

fn now() -> Timestamp {
    "2026-01-02T03:04:05Z".parse().unwrap()
}

#[test]
fn a_config_map() {
    let object =
        json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c", "namespace": "n", "labels": {"a": "b", "c": "d"}}, "data": {"k": "v\nw\n"}});
    expect![[r"
        Name:         c
        Namespace:    n
        Labels:       a=b
                      c=d
        Annotations:  <none>

        Data
        ====
        k:
        ----
        v
        w



        BinaryData
        ====

        Events:  <none>
    "]]
    .assert_eq(&describe(&object, &Related { events: Some(vec![]), ..Related::default() }, now()));
}

#[test]
fn events_stand_in_columns_of_their_own() {
    let object = json!({"apiVersion": "x/v1", "kind": "Thing", "metadata": {"name": "a", "uid": "u"}, "spec": {"list": [1, {"b": 2}]}});
    let event = json!({"type": "Normal", "reason": "Pulled", "count": 3, "firstTimestamp": "2026-01-02T03:03:05Z", "lastTimestamp": "2026-01-02T03:04:00Z", "source": {"component": "kubelet"}, "message": "done "});
    expect![[r"
        Name:         a
        Namespace:    
        Labels:       <none>
        Annotations:  <none>
        API Version:  x/v1
        Kind:         Thing
        Metadata:
          UID:  u
        Spec:
          List:
            1
            B:  2
        Events:
          Type    Reason  Age               From     Message
          ----    ------  ----              ----     -------
          Normal  Pulled  5s (x3 over 60s)  kubelet  done
    "]]
    .assert_eq(&describe(&object, &Related { events: Some(vec![event]), ..Related::default() }, now()));
}
