//! A thousand neighbours come and go: nothing of them stays behind.
//!
//! Alone in its program, because it counts the bytes that the whole process holds.

#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "a test, on real clocks"
)]

mod common;

use std::alloc::System;

use common::{Peer, connect, key, settles};
use stats_alloc::{INSTRUMENTED_SYSTEM, StatsAlloc};
use swarm::Input;
use wire::message::Ping;

#[global_allocator]
static HEAP: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// Bytes that the process has asked for and not given back. Resident memory would not do: it moves with the allocator's
/// arenas, one for each thread.
fn held() -> isize {
    let stats = HEAP.stats();
    stats.bytes_allocated as isize - stats.bytes_deallocated as isize
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

/// Waits until each runs no more than the one task that accepts.
async fn all_settle(host: &Peer, guests: &[Peer]) {
    settles(&host.transport, 1).await;
    for guest in guests {
        settles(&guest.transport, 1).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_visits_leave_nothing_behind() {
    let mut host = Peer::new(key(1));
    let mut guests: Vec<Peer> = (0..4).map(|n| Peer::new(key(10 + n))).collect();
    let mut before = 0;
    for visits in 0..1000u32 {
        let guest = &mut guests[visits as usize % 4];
        visit(&mut host, guest, visits / 4).await;
        if visits == 300 {
            // By now every pool and buffer has its size.
            all_settle(&host, &guests).await;
            before = held();
        }
    }
    all_settle(&host, &guests).await;
    assert_eq!(host.transport.stats().connections, 0);
    let after = held();
    // 700 connections that left 3 KiB each would show; one that is kept whole holds more.
    assert!(after < before + 2 * 1024 * 1024, "{before} -> {after}");
}
