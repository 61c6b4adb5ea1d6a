//! What stands between clients and servers reads and writes whole frames: both Kafka and Hadoop
//! send a length of four bytes, the highest first, and so many bytes behind it.

use std::io::{Read as _, Result, Write as _};
use std::net::TcpStream;

/// The next question or answer of a connection, without its length.
///
/// # Errors
/// The connection has ended, or cannot be read.
pub(super) fn receive(mut from: &TcpStream) -> Result<Vec<u8>> {
    let mut length = [0; 4];
    from.read_exact(&mut length)?;
    let mut body = vec![0; u32::from_be_bytes(length) as usize];
    from.read_exact(&mut body)?;
    Ok(body)
}

/// Sends a question or an answer, with its length before it.
///
/// # Errors
/// The connection cannot be written.
pub(super) fn send(mut to: &TcpStream, body: &[u8]) -> Result<()> {
    to.write_all(&[&(body.len() as u32).to_be_bytes()[..], body].concat())
}
