//! A Unix socket for programs that support only TCP.

use std::{
    io,
    net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream},
    os::unix::net::UnixStream,
    path::{Path, PathBuf},
    thread,
};

use anyhow::{Context, Result};

/// Forwards between connections to a port of the loopback interface and a Unix socket, until the
/// process ends.
///
/// # Errors
/// When no port can be had.
pub fn to_socket(socket: &Path) -> Result<SocketAddr> {
    let listener =
        TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("no port of the loopback is free")?;
    let address = listener.local_addr()?;
    let socket = socket.to_owned();
    thread::spawn(move || {
        for stream in listener.incoming().filter_map(Result::ok) {
            let socket = socket.clone();
            thread::spawn(move || pass(&stream, &socket));
        }
    });
    Ok(address)
}

fn pass(client: &TcpStream, socket: &PathBuf) -> io::Result<()> {
    let server = UnixStream::connect(socket)?;
    thread::scope(|scope| {
        scope.spawn(|| {
            // The other end sees that this one has closed.
            let _ended = io::copy(&mut &*client, &mut &server);
            server.shutdown(Shutdown::Write)
        });
        let _ended = io::copy(&mut &server, &mut &*client);
        client.shutdown(Shutdown::Both)
    })
}
