//! An API server alone, on a store that lives as long as it does: `cargo run -p wharf-server --example serve -- kubeconfig.yaml [address]`.

use std::error::Error;
use std::sync::Arc;

use tokio_util::sync::CancellationToken;
use wharf_server::pki::Pki;
use wharf_server::{ApiServer, Config, NoNodes};
use wharf_store::{Options, RedbStore};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let kubeconfig = arguments.next().ok_or("usage: serve KUBECONFIG [ADDRESS]")?;
    let address = arguments.next().unwrap_or_else(|| "127.0.0.1:0".to_owned());
    let dir = std::env::temp_dir().join(format!("wharf-serve-{}", std::process::id()));
    let began = std::time::Instant::now();
    let pki = Pki::open(&dir.join("pki"), &["10.96.0.1".into(), "10.88.0.1".into()])?;
    let store = Arc::new(RedbStore::open(&dir.join("store.redb"), Options::default())?);
    let listener = tokio::net::TcpListener::bind(address).await?;
    let server = ApiServer::new(Config::new(store, pki.clone(), Arc::new(NoNodes), "10.88.0.1:6443".parse()?)).await?;
    let url = format!("https://{}", listener.local_addr()?);
    std::fs::write(&kubeconfig, pki.kubeconfig("wharf", &url))?;
    println!("{url} after {:?}; export KUBECONFIG={kubeconfig}", began.elapsed());
    let stop = CancellationToken::new();
    let stopper = stop.clone();
    tokio::spawn(async move {
        let _ = tokio::signal::ctrl_c().await;
        stopper.cancel();
    });
    server.serve(listener, stop).await?;
    std::fs::remove_dir_all(&dir)?;
    Ok(())
}
