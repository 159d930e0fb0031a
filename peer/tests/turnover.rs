//! Whole peers come and go: no task of them stays behind.
//!
//! Alone in its program, because it counts the tasks of its runtime after theirs have ended.

#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "a test, on real clocks"
)]

mod common;

use std::time::{Duration, Instant};

use common::{PATIENCE, Peer, connect, key, settles};
use wire::SecretKey;

#[tokio::test(flavor = "multi_thread")]
async fn whole_peers_come_and_go() {
    let alive = || tokio::runtime::Handle::current().metrics().num_alive_tasks();
    let mut host = Peer::new(key(1));
    let tasks = alive();
    for n in 0..60u8 {
        let mut secret = [n; 32];
        secret[0] = 200;
        let mut guest = Peer::new(SecretKey::from_bytes(&secret));
        connect(&mut guest, &mut host).await;
        let Peer {
            id,
            transport,
            mut inputs,
            ..
        } = guest;
        tokio::select! {
            () = transport.shutdown() => {}
            () = async { while inputs.recv().await.is_some() {} std::future::pending().await } => {}
        }
        assert_eq!(transport.stats().tasks, 0);
        drop(transport);
        host.expect_goodbye(id).await;
    }
    settles(&host.transport, 1).await;
    let end = Instant::now() + PATIENCE;
    while alive() > tasks {
        assert!(Instant::now() < end, "{} tasks, {tasks} before", alive());
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}
