//! The fastest plain web server that is easily written, to be a target:
//! `target ADDRESS:PORT [NAME]` answers every GET with its name.

use std::error::Error;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// Longest head that is read.
const HEAD_MAX: usize = 64 * 1024;

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let address = arguments.next().ok_or("usage: target ADDRESS:PORT [NAME]")?;
    let name = arguments.next().unwrap_or_else(|| "Hello, World!".to_owned());
    let answer = format!("HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: {}\r\n\r\n{name}", name.len());
    let answer: &'static [u8] = Vec::leak(answer.into_bytes());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    tokio::task::LocalSet::new().block_on(&runtime, async {
        let listener = TcpListener::bind(&address).await?;
        println!("target: listening on {address}");
        loop {
            if let Ok((stream, _)) = listener.accept().await {
                tokio::task::spawn_local(async move {
                    // A client that goes in the middle needs no answer.
                    let _ = serve(stream, answer).await;
                });
            }
        }
    })
}

async fn serve(mut stream: TcpStream, answer: &[u8]) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    let mut input = Vec::with_capacity(4096);
    loop {
        if stream.read_buf(&mut input).await? == 0 || input.len() > HEAD_MAX {
            return Ok(());
        }
        while let Some(end) = input.windows(4).position(|window| window == b"\r\n\r\n") {
            let close = input[..end].windows(17).any(|part| part.eq_ignore_ascii_case(b"connection: close"));
            input.drain(..end + 4);
            stream.write_all(answer).await?;
            if close {
                return Ok(());
            }
        }
    }
}
