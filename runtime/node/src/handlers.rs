//! The table of in-process `wasi:http` handlers: Pod address → handler. Ingress and guests' outgoing requests use it to skip the socket.

use std::collections::HashMap;
use std::net::SocketAddrV4;
use std::sync::Arc;

use parking_lot::RwLock;
use wharf_engine::HttpHandler;

/// A handler, as it is shared.
pub type Handler = Arc<dyn HttpHandler>;

/// All handlers of the process, by the address that the API shows (Pod IP and container port).
#[derive(Default)]
pub struct Handlers {
    table: RwLock<HashMap<SocketAddrV4, Handler>>,
}

impl Handlers {
    /// An empty table.
    pub fn new() -> Arc<Self> {
        Arc::default()
    }

    /// Who answers at `address`, if it is a `wasi:http` container of this process that takes requests.
    pub fn get(&self, address: SocketAddrV4) -> Option<Handler> {
        self.table.read().get(&address).cloned()
    }

    /// Puts a handler into the table until the returned guard is dropped.
    pub fn register(self: &Arc<Self>, address: SocketAddrV4, handler: Handler) -> Registered {
        self.table.write().insert(address, handler.clone());
        Registered { table: self.clone(), address, handler }
    }

    /// How many addresses there are.
    pub fn len(&self) -> usize {
        self.table.read().len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// Takes its handler out of the table when dropped.
pub struct Registered {
    table: Arc<Handlers>,
    address: SocketAddrV4,
    handler: Handler,
}

impl Drop for Registered {
    fn drop(&mut self) {
        let mut table = self.table.table.write();
        // A successor may stand here already.
        if table.get(&self.address).is_some_and(|h| Arc::ptr_eq(h, &self.handler)) {
            table.remove(&self.address);
        }
    }
}
