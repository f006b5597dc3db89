use std::{
    io::{self, BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpStream},
    time::Duration,
};

const PATIENCE: Duration = Duration::from_secs(3);
const STATUS_LINE: u64 = 64;

/// Asks `GET /healthz`. Without a client library, for an image that has no curl.
pub(super) fn ask(address: SocketAddr) -> io::Result<()> {
    let mut stream = TcpStream::connect_timeout(&address, PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    let request = format!("GET /healthz HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes())?;
    let mut head = Vec::new();
    BufReader::new(stream.take(STATUS_LINE)).read_until(b'\n', &mut head)?;
    let line = String::from_utf8_lossy(&head);
    let line = line.trim_end();
    if line.split(' ').nth(1) == Some("200") {
        Ok(())
    } else {
        Err(io::Error::other(format!("unhealthy: {line}")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{net::TcpListener, thread};

    fn answered_with(reply: &'static str) -> io::Result<()> {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let server = thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut request = [0; 256];
            let length = stream.read(&mut request).unwrap();
            stream.write_all(reply.as_bytes()).unwrap();
            String::from_utf8_lossy(&request[..length]).into_owned()
        });
        let outcome = ask(address);
        assert!(server.join().unwrap().starts_with("GET /healthz HTTP/1.1\r\n"));
        outcome
    }

    #[test]
    fn only_200_is_healthy() {
        assert!(answered_with("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").is_ok());
        for reply in ["HTTP/1.1 503 Service Unavailable\r\n\r\n", "SSH-2.0-200\r\n", ""] {
            assert!(answered_with(reply).is_err(), "{reply}");
        }
    }

    #[test]
    fn a_server_that_is_not_there_is_unhealthy() {
        let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        assert!(ask(free).is_err());
    }
}
