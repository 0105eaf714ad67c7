//! A TCP relay whose way to the server can be held, and which can be cut, by the test.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex};

#[derive(Default)]
struct Flow {
    held: Mutex<bool>,
    changed: Condvar,
}

impl Flow {
    fn pass(&self) {
        let mut held = self.held.lock().unwrap();
        while *held {
            held = self.changed.wait(held).unwrap();
        }
    }

    fn set(&self, held: bool) {
        *self.held.lock().unwrap() = held;
        self.changed.notify_all();
    }
}

/// The relay; it takes one connection.
pub(crate) struct Gate {
    pub(crate) port: u16,
    to_server: Arc<Flow>,
    socket: Arc<Mutex<Option<TcpStream>>>,
}

impl Gate {
    /// In front of a port. Its buffer for what goes to the server is small, so that a hold is soon felt.
    pub(crate) fn before(server_port: u16) -> Gate {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        rustix::net::sockopt::set_socket_recv_buffer_size(&listener, 16 << 10).unwrap();
        let port = listener.local_addr().unwrap().port();
        let gate = Gate { port, to_server: Arc::default(), socket: Arc::default() };
        let (flow, socket) = (Arc::clone(&gate.to_server), Arc::clone(&gate.socket));
        std::thread::spawn(move || {
            let (client, _) = listener.accept().unwrap();
            let server = TcpStream::connect(("127.0.0.1", server_port)).unwrap();
            client.set_nodelay(true).unwrap();
            server.set_nodelay(true).unwrap();
            *socket.lock().unwrap() = Some(client.try_clone().unwrap());
            let (back_from, back_to) = (server.try_clone().unwrap(), client.try_clone().unwrap());
            std::thread::spawn(move || relay(back_from, back_to, &Flow::default()));
            relay(client, server, &flow);
        });
        gate
    }

    /// Holds what goes to the server.
    pub(crate) fn hold(&self) {
        self.to_server.set(true);
    }

    pub(crate) fn release(&self) {
        self.to_server.set(false);
    }

    /// Ends the connection at both ends.
    pub(crate) fn cut(&self) {
        if let Some(socket) = &*self.socket.lock().unwrap() {
            socket.shutdown(Shutdown::Both).ok();
        }
    }
}

impl Drop for Gate {
    fn drop(&mut self) {
        self.cut();
        self.release();
    }
}

fn relay(mut from: TcpStream, mut to: TcpStream, flow: &Flow) {
    let mut buffer = vec![0u8; 16 << 10];
    loop {
        flow.pass();
        match from.read(&mut buffer) {
            Ok(n @ 1..) if to.write_all(&buffer[..n]).is_ok() => {}
            _ => break,
        }
    }
    to.shutdown(Shutdown::Both).ok();
    from.shutdown(Shutdown::Both).ok();
}
