mod world;
use std::time::Duration;
use headwater_swarm::{Participation, PlayoutWish};
use wire::{Bitrate, Time};
use world::World;
#[test]
fn dbg() {
    let mut world = World::new(1, Duration::from_millis(20), 0.0);
    world.add(Bitrate::from_kbps(3_600));
    world.publish();
    let mut next = 1000u64; let mut n = 0;
    for t in (0..20_000u64).step_by(100) {
        world.run_until(Time::from_millis(t));
        if t >= next && n < 10 { let i = world.add(Bitrate::from_kbps(2_000)); world.join(i, Participation::Consume(PlayoutWish::default())); n += 1; next += 300; }
        if t % 200 == 0 && t < 9000 {
            for w in [2usize,3,5] { if world.peers.len() > w {
                let s = world.peers[w].node.stats(world.now); let s = &s.streams[0];
                eprintln!("{t} v{w} target {:?} miss {} late {} rep {} dup {} orphans {} par {:?}", s.target_lag_ms, s.chunks_missed, s.chunks_late, s.repairs_requested, s.bytes_duplicate/1000, s.substreams.iter().filter(|x| x.parent.is_none()).count(), s.substreams.iter().map(|s| s.parent.map(|p| world.peers.iter().position(|q| q.id == p).unwrap_or(99)).unwrap_or(88)).collect::<Vec<_>>());
            }}
        }
    }
}
