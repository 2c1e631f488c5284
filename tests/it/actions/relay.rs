//! A way to the API server that can be cut: bytes are passed on until then.

use std::io;
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

/// Listens until it is dropped; connections end with it.
pub struct Relay {
    pub address: SocketAddr,
    shared: Arc<Shared>,
}

struct Shared {
    to: SocketAddr,
    is_open: AtomicBool,
    sockets: Mutex<Vec<TcpStream>>,
}

impl Relay {
    /// Leads there from another port of the same address, for which the server's certificate holds too.
    pub fn to(to: SocketAddr) -> Relay {
        let listener = TcpListener::bind((to.ip(), 0)).unwrap();
        let shared = Arc::new(Shared { to, is_open: AtomicBool::new(true), sockets: Mutex::default() });
        let relay = Relay { address: listener.local_addr().unwrap(), shared: shared.clone() };
        std::thread::spawn(move || {
            for guest in listener.incoming().map_while(Result::ok) {
                if shared.is_open.load(Ordering::SeqCst) {
                    shared.carry(&guest);
                }
            }
        });
        relay
    }

    /// Breaks what there is, and takes nothing more until it is mended.
    pub fn cut(&self) {
        self.shared.is_open.store(false, Ordering::SeqCst);
        for socket in self.shared.sockets.lock().unwrap().drain(..) {
            // It may be closed already.
            let _ = socket.shutdown(Shutdown::Both);
        }
    }

    pub fn mend(&self) {
        self.shared.is_open.store(true, Ordering::SeqCst);
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.cut();
    }
}

impl Shared {
    fn carry(&self, guest: &TcpStream) {
        let Ok(host) = TcpStream::connect(self.to) else { return };
        self.sockets.lock().unwrap().extend([guest.try_clone().unwrap(), host.try_clone().unwrap()]);
        for (from, into) in [(guest, &host), (&host, guest)] {
            let (mut from, mut into) = (from.try_clone().unwrap(), into.try_clone().unwrap());
            std::thread::spawn(move || {
                // Either side may break it off.
                let _ = io::copy(&mut from, &mut into);
                let _ = into.shutdown(Shutdown::Write);
            });
        }
    }
}
