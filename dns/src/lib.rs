//! Cluster DNS: Services, headless endpoints and Pods by name, for guests in process and for anyone over UDP and TCP.
//!
//! - [`Records`] is the pure index: Services, EndpointSlices and Namespaces in, answers out, by the Kubernetes DNS specification 1.1.0;
//! - [`Dns`] watches them, answers look-ups in process ([`Dns::resolve`], [`Dns::lookup`]), serves sockets ([`Dns::serve`]) and
//!   asks the host's resolvers for names outside the cluster's domain.

mod dns;
mod records;
mod reply;
mod serve;
mod upstream;
mod watch;

pub use dns::{Dns, LookupError, Options};
pub use hickory_proto::op::ResponseCode;
pub use hickory_proto::rr::{Name, RecordType};
pub use records::{Answer, Data, Kind, Records};
pub use serve::{Observer, Served};
pub use upstream::{Upstream, nameservers};
