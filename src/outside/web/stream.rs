//! A connection at the listener's end, in the clear or by TLS.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use openssl::ssl::Ssl;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_openssl::SslStream;

/// The handshake is part of the first read, so nobody waits for a stranger's.
pub(crate) enum Stream {
    Plain(TcpStream),
    Tls(Box<SslStream<TcpStream>>),
}

impl Stream {
    pub(super) fn begin(mut ssl: Ssl, stream: TcpStream) -> io::Result<Stream> {
        ssl.set_accept_state();
        Ok(Stream::Tls(Box::new(SslStream::new(ssl, stream)?)))
    }

    fn both(self: Pin<&mut Self>) -> Pin<&mut (dyn Both + Send)> {
        match self.get_mut() {
            Stream::Plain(stream) => Pin::new(stream),
            Stream::Tls(stream) => Pin::new(&mut **stream),
        }
    }
}

trait Both: AsyncRead + AsyncWrite + Unpin {}

impl<T: AsyncRead + AsyncWrite + Unpin> Both for T {}

impl AsyncRead for Stream {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let done = self.both().poll_read(cx, buffer);
        if let Poll::Ready(Err(error)) = &done {
            tracing::debug!(%error, "a connection to daemon.listen has ended");
        }
        done
    }
}

impl AsyncWrite for Stream {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.both().poll_write(cx, bytes)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.both().poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.both().poll_shutdown(cx)
    }
}
