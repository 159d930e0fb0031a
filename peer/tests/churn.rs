//! A thousand neighbours come and go: nothing of them stays behind.
//!
//! Alone in its program, because it looks at the memory of the process.

#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "a test, on real clocks"
)]

mod common;

use std::time::{Duration, Instant};

use common::{PATIENCE, Peer, connect, key};
use headwater::net::Transport;
use swarm::Input;
use wire::SecretKey;
use wire::message::Ping;

/// Resident memory in bytes; `None` where the system does not say.
fn resident() -> Option<u64> {
    let statm = std::fs::read_to_string("/proc/self/statm").ok()?;
    let pages: u64 = statm.split(' ').nth(1)?.parse().ok()?;
    Some(pages * 4096)
}

async fn settles(transport: &Transport, tasks: usize) {
    let end = Instant::now() + PATIENCE;
    while transport.stats().tasks > tasks {
        assert!(Instant::now() < end, "{:?}", transport.stats());
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// One neighbour dials, talks and leaves, and either side ends it.
async fn visit(host: &mut Peer, guest: &mut Peer, way: u32) {
    connect(guest, host).await;
    let ping = Ping {
        nonce: way,
        ..Ping::default()
    };
    assert!(guest.transport.send(&host.id, &ping.into()));
    assert!(matches!(host.next().await, Input::Message { .. }));
    let (leaves, stays) = match way % 2 {
        0 => (guest, host),
        _ => (host, guest),
    };
    leaves.transport.disconnect(&stays.id);
    stays.expect_goodbye(leaves.id).await;
    leaves.expect_disconnected(stays.id).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_visits_leave_nothing_behind() {
    let mut host = Peer::new(key(1));
    let mut guests: Vec<Peer> = (0..4).map(|n| Peer::new(key(10 + n))).collect();
    let mut before = None;
    for visits in 0..1000u32 {
        let guest = &mut guests[visits as usize % 4];
        visit(&mut host, guest, visits / 4).await;
        if visits == 300 {
            // By now every pool and buffer has its size.
            before = resident();
        }
    }
    // One task accepts.
    settles(&host.transport, 1).await;
    for guest in &guests {
        settles(&guest.transport, 1).await;
    }
    assert_eq!(host.transport.stats().connections, 0);
    if let (Some(before), Some(after)) = (before, resident()) {
        // 700 connections that left 3 KiB each would show.
        assert!(after < before + 2 * 1024 * 1024, "{before} -> {after}");
    }
}

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
