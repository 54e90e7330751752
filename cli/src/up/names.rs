//! The cluster's names: one resolver, for the Pods of this process without a socket, and behind the `coredns` Pods for everybody else.

use std::convert::Infallible;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use futures::future::BoxFuture;
use wharf_dns::{Dns, Options};
use wharf_net::ClusterNet;
use wharf_node::{LookupError, Resolver};

use crate::up::tasks::Group;

/// The ClusterIP of kube-dns.
const ADDRESS: Ipv4Addr = Ipv4Addr::new(10, 96, 0, 10);

/// Starts it, as a client that may read Services, EndpointSlices and Namespaces.
pub(crate) fn start(client: kube::Client, net: &ClusterNet, group: &Group) -> (Arc<Dns>, Arc<dyn Resolver>) {
    let dns = Dns::new(Options { own: vec![IpAddr::V4(net.pod_net.kernel_ip(ADDRESS)), IpAddr::V4(ADDRESS)], ..Options::default() });
    group.spawn("cluster DNS", {
        let (dns, token) = (dns.clone(), group.token());
        async move {
            dns.run(client, token).await;
            Ok::<_, Infallible>(())
        }
    });
    (dns.clone(), Arc::new(InProcess(dns)))
}

struct InProcess(Arc<Dns>);

impl Resolver for InProcess {
    fn lookup(&self, name: String) -> BoxFuture<'static, Result<Vec<IpAddr>, LookupError>> {
        let dns = self.0.clone();
        Box::pin(async move {
            dns.resolve(&name).await.map_err(|error| match error {
                wharf_dns::LookupError::NotFound => LookupError::NotFound,
                wharf_dns::LookupError::Failed => LookupError::Failed,
            })
        })
    }
}
