//! A way to the API server that can be cut: bytes are passed on until then.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

/// Listens until it is dropped; connections end with it.
pub struct Relay {
    pub address: SocketAddr,
    shared: Arc<Shared>,
}

struct Shared {
    to: Mutex<SocketAddr>,
    is_open: AtomicBool,
    /// Bytes that went to the server.
    sent: AtomicU64,
    /// Connections that were turned away.
    turned_away: AtomicU64,
    sockets: Mutex<Vec<TcpStream>>,
}

impl Relay {
    /// Leads there from another port of the same address, for which the server's certificate holds too.
    pub fn to(to: SocketAddr) -> Relay {
        let listener = TcpListener::bind((to.ip(), 0)).unwrap();
        let shared = Arc::new(Shared {
            to: Mutex::new(to),
            is_open: AtomicBool::new(true),
            sent: AtomicU64::new(0),
            turned_away: AtomicU64::new(0),
            sockets: Mutex::default(),
        });
        let relay = Relay { address: listener.local_addr().unwrap(), shared: shared.clone() };
        std::thread::spawn(move || {
            for guest in listener.incoming().map_while(Result::ok) {
                if shared.is_open.load(Ordering::SeqCst) {
                    shared.carry(&guest);
                } else {
                    shared.turned_away.fetch_add(1, Ordering::SeqCst);
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

    /// How many bytes have gone to the server.
    pub fn sent(&self) -> u64 {
        self.shared.sent.load(Ordering::SeqCst)
    }

    /// How many connections were turned away.
    pub fn turned_away(&self) -> u64 {
        self.shared.turned_away.load(Ordering::SeqCst)
    }

    /// From now on new connections lead somewhere else.
    pub fn turn(&self, to: SocketAddr) {
        *self.shared.to.lock().unwrap() = to;
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
    fn carry(self: &Arc<Self>, guest: &TcpStream) {
        let Ok(host) = TcpStream::connect(*self.to.lock().unwrap()) else { return };
        self.sockets.lock().unwrap().extend([guest.try_clone().unwrap(), host.try_clone().unwrap()]);
        for (from, into, is_request) in [(guest, &host, true), (&host, guest, false)] {
            let (from, into, shared) = (from.try_clone().unwrap(), into.try_clone().unwrap(), self.clone());
            std::thread::spawn(move || shared.pass_on(from, into, is_request));
        }
    }

    /// Passes bytes on until either side breaks it off.
    fn pass_on(&self, mut from: TcpStream, mut into: TcpStream, is_request: bool) {
        let mut bytes = [0; 16 << 10];
        while let Ok(n @ 1..) = from.read(&mut bytes) {
            if into.write_all(&bytes[..n]).is_err() {
                break;
            }
            if is_request {
                self.sent.fetch_add(n as u64, Ordering::SeqCst);
            }
        }
        // The other side may have closed it.
        let _ = into.shutdown(Shutdown::Write);
    }
}
