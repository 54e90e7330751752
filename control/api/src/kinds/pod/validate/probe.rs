//! Refusals of probes and lifecycle handlers.

use crate::field::{Error, Errors, Path};
use crate::k8s_openapi::api::core::v1::{Container, ExecAction, GRPCAction, HTTPGetAction, LifecycleHandler, Probe, SleepAction, TCPSocketAction};
use crate::kinds::checks::{not_negative, port, port_or_name};
use crate::kinds::normal::text;
use crate::meta::names::http_header_name;

/// Probes and lifecycle handlers of one container.
pub(super) fn validate(c: &Container, grace_period: i64, at: &Path) -> Errors {
    let mut errors = Errors::new();
    if let Some(lifecycle) = &c.lifecycle {
        for (handler, field) in [(&lifecycle.post_start, "postStart"), (&lifecycle.pre_stop, "preStop")] {
            if let Some(handler) = handler {
                errors.extend(lifecycle_handler(handler, grace_period, &at.child("lifecycle").child(field)));
            }
        }
    }
    if let Some(liveness) = &c.liveness_probe {
        let at = at.child("livenessProbe");
        errors.extend(probe(liveness, &at));
        errors.extend(success_is_one(liveness, &at));
    }
    if let Some(readiness) = &c.readiness_probe {
        let at = at.child("readinessProbe");
        errors.extend(probe(readiness, &at));
        if let Some(seconds) = readiness.termination_grace_period_seconds {
            errors.push(Error::invalid(&at.child("terminationGracePeriodSeconds"), seconds, "must not be set for readinessProbes"));
        }
    }
    if let Some(startup) = &c.startup_probe {
        let at = at.child("startupProbe");
        errors.extend(probe(startup, &at));
        errors.extend(success_is_one(startup, &at));
    }
    errors
}

fn success_is_one(probe: &Probe, at: &Path) -> Option<Error> {
    probe.success_threshold.filter(|n| *n != 1).map(|n| Error::invalid(&at.child("successThreshold"), n, "must be 1"))
}

fn probe(probe: &Probe, at: &Path) -> Errors {
    let handler =
        Handler { exec: probe.exec.as_ref(), http_get: probe.http_get.as_ref(), tcp_socket: probe.tcp_socket.as_ref(), grpc: probe.grpc.as_ref(), sleep: None };
    let mut errors = handler.validate(0, at);
    for (value, field) in [
        (probe.initial_delay_seconds, "initialDelaySeconds"),
        (probe.timeout_seconds, "timeoutSeconds"),
        (probe.period_seconds, "periodSeconds"),
        (probe.success_threshold, "successThreshold"),
        (probe.failure_threshold, "failureThreshold"),
    ] {
        errors.extend(not_negative(value, &at.child(field)));
    }
    if let Some(seconds) = probe.termination_grace_period_seconds.filter(|s| *s <= 0) {
        errors.push(Error::invalid(&at.child("terminationGracePeriodSeconds"), seconds, "must be greater than 0"));
    }
    errors
}

fn lifecycle_handler(handler: &LifecycleHandler, grace_period: i64, at: &Path) -> Errors {
    Handler {
        exec: handler.exec.as_ref(),
        http_get: handler.http_get.as_ref(),
        tcp_socket: handler.tcp_socket.as_ref(),
        grpc: None,
        sleep: handler.sleep.as_ref(),
    }
    .validate(grace_period, at)
}

struct Handler<'a> {
    exec: Option<&'a ExecAction>,
    http_get: Option<&'a HTTPGetAction>,
    tcp_socket: Option<&'a TCPSocketAction>,
    grpc: Option<&'a GRPCAction>,
    sleep: Option<&'a SleepAction>,
}

impl Handler<'_> {
    fn validate(&self, grace_period: i64, at: &Path) -> Errors {
        let mut errors = Errors::new();
        let mut first = true;
        let mut only = |field: &str, check: &dyn Fn(&Path) -> Errors| {
            let at = at.child(field);
            if first {
                first = false;
                errors.extend(check(&at));
            } else {
                errors.push(Error::forbidden(&at, "may not specify more than 1 handler type"));
            }
        };
        if let Some(exec) = self.exec {
            only("exec", &|at| {
                let empty = exec.command.as_ref().is_none_or(Vec::is_empty);
                empty.then(|| Error::required(&at.child("command"), "")).into_iter().collect()
            });
        }
        if let Some(http) = self.http_get {
            only("httpGet", &|at| http_get(http, at));
        }
        if let Some(tcp) = self.tcp_socket {
            only("tcpSocket", &|at| port_or_name(&tcp.port, &at.child("port")));
        }
        if let Some(grpc) = self.grpc {
            only("grpc", &|at| port(grpc.port, &at.child("port")));
        }
        if let Some(sleep) = self.sleep {
            only("sleep", &|at| {
                let words = format!("must be non-negative and less than terminationGracePeriodSeconds ({grace_period})");
                (sleep.seconds < 0 || sleep.seconds > grace_period).then(|| Error::invalid(at, sleep.seconds, words)).into_iter().collect()
            });
        }
        if first {
            errors.push(Error::required(at, "must specify a handler type"));
        }
        errors
    }
}

fn http_get(http: &HTTPGetAction, at: &Path) -> Errors {
    let mut errors = Errors::new();
    if text(&http.path).is_empty() {
        errors.push(Error::required(&at.child("path"), ""));
    }
    errors.extend(port_or_name(&http.port, &at.child("port")));
    if !matches!(text(&http.scheme), "HTTP" | "HTTPS") {
        errors.push(Error::not_supported(&at.child("scheme"), text(&http.scheme), &["HTTP", "HTTPS"]));
    }
    for header in http.http_headers.iter().flatten() {
        errors.extend(http_header_name(&header.name).into_iter().map(|e| Error::invalid(&at.child("httpHeaders"), &header.name, e)));
    }
    errors
}
