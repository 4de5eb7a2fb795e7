//! What iroh takes alone: one process sends bytes out of memory on one stream, another reads them and throws them away.
//! `peers.py` times the two as the peer `iroh`; nothing built on iroh can be faster than that on the same machine.
//!
//! `transport send ADDRESS BYTES` writes where it is to the file ADDRESS and serves one reader; `transport receive
//! ADDRESS` is that reader.
#![allow(
    missing_docs,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a bench prints, and has nobody to answer to"
)]

use std::path::Path;

use bytes::Bytes;
use iroh::Endpoint;
use iroh::EndpointAddr;
use iroh::RelayMode;
use iroh::endpoint::presets;

const ALPN: &[u8] = b"bench";
/// As long as the pieces in which can-sync sends a content.
const PIECE: usize = can_sync::limits::CONTENT_CHUNK_BYTES;

async fn bind() -> Endpoint {
    let endpoint = Endpoint::builder(presets::Minimal)
        .relay_mode(RelayMode::Disabled)
        .clear_ip_transports()
        .bind_addr("127.0.0.1:0")
        .unwrap()
        .alpns(vec![ALPN.to_vec()])
        .bind();
    endpoint.await.unwrap()
}

async fn send(address: &Path, mut left: usize) {
    let endpoint = bind().await;
    let here = EndpointAddr::new(endpoint.id()).with_ip_addr(endpoint.bound_sockets()[0]);
    // Whole at once, for who waits for it.
    std::fs::write(address.with_extension("new"), serde_json::to_vec(&here).unwrap()).unwrap();
    std::fs::rename(address.with_extension("new"), address).unwrap();
    let connection = endpoint.accept().await.unwrap().await.unwrap();
    let (mut send, _) = connection.accept_bi().await.unwrap();
    let piece = Bytes::from(vec![0; PIECE]);
    while left > 0 {
        let some = piece.slice(..left.min(PIECE));
        left -= some.len();
        send.write_chunk(some).await.unwrap();
    }
    send.finish().unwrap();
    connection.closed().await;
    endpoint.close().await;
}

async fn receive(address: &Path) -> usize {
    let endpoint = bind().await;
    let there: EndpointAddr = serde_json::from_slice(&std::fs::read(address).unwrap()).unwrap();
    let connection = endpoint.connect(there, ALPN).await.unwrap();
    let (mut ask, mut recv) = connection.open_bi().await.unwrap();
    ask.finish().unwrap();
    let mut received = 0;
    while let Some(some) = recv.read_chunk(PIECE).await.unwrap() {
        received += some.len();
    }
    connection.close(0_u32.into(), b"done");
    endpoint.close().await;
    received
}

#[tokio::main]
async fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["send", address, bytes] => send(Path::new(address), bytes.parse().unwrap()).await,
        ["receive", address] => println!("{}", receive(Path::new(address)).await),
        _ => panic!("transport send ADDRESS BYTES | transport receive ADDRESS"),
    }
}
