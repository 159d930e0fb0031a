mod world;
use std::time::Duration;
use headwater_swarm::{Participation, PlayoutWish, Event};
use wire::{Bitrate, Time};
use world::World;
#[test]
fn dbg() {
    let gap: u64 = std::env::var("GAP").ok().and_then(|x| x.parse().ok()).unwrap_or(100);
    let at: u64 = std::env::var("AT").ok().and_then(|x| x.parse().ok()).unwrap_or(0);
    let mut world = World::new(1, Duration::from_micros(200), 0.0);
    world.add(Bitrate::from_kbps(3_000));
    world.publish();
    let ups = [2000u64, 2000, 250, 670, 670, 670, 1250, 2500];
    let mut joined = vec![0u64; 20];
    for (n, up) in ups.iter().enumerate() {
        world.run_until(Time::from_millis(at + gap * n as u64));
        let i = world.add(Bitrate::from_kbps(*up));
        joined[i] = at + gap * n as u64;
        world.join(i, if n < 2 { Participation::Donate } else { Participation::Consume(PlayoutWish::default()) });
    }
    for t in (0..12_000u64).step_by(100) {
        world.run_until(Time::from_millis(at + gap * 8 + t));
        if t % 1000 == 0 || t < 2000 {
            for w in 1..9 {
                let s = world.peers[w].node.stats(world.now); let s = &s.streams[0];
                eprintln!("{t} v{w} target {:?} miss {} late {} rep {} dup {} slots {}/{} par {:?} ch {:?}", s.target_lag_ms.map(|x| x as i64), s.chunks_missed, s.chunks_late, s.repairs_requested, s.bytes_duplicate/1000, s.slots_used, s.slots, s.substreams.iter().map(|s| s.parent.map(|p| world.peers.iter().position(|q| q.id == p).unwrap_or(99) as i32).unwrap_or(-1)).collect::<Vec<_>>(), s.substreams.iter().map(|s| s.children).collect::<Vec<_>>());
            }
        }
    }
    for w in 1..9 { let st = world.peers[w].node.stats(world.now); eprintln!("END v{w} start {:?} played {} cont {:.4} lag {:?} mult {:.2}", world.peers[w].started.map(|t| t.as_millis() as i64 - joined[w] as i64), world.peers[w].played.len(), st.streams[0].continuity(), st.streams[0].lag_ms.map(|x| x as i64), st.streams[0].bytes_out as f64 / st.streams[0].bytes_in.max(1) as f64); }
    let _ = Event::Banned { peer: world.peers[0].id };
}
