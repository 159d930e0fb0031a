use super::*;

#[test]
fn a_link_sends_one_after_the_other_and_drops_at_the_tail() {
    let mut link = Link::default();
    // 1500 bytes take a millisecond.
    link.set_rate(12_000_000, 0);
    link.queue = Queue::Ns(5_000_000);
    let out: Vec<_> = (0..10).map(|_| link.admit(0, 1500)).collect();
    assert_eq!(out[0], Some(1_000_000));
    assert_eq!(out[5], Some(6_000_000), "5 ms of backlog is still admitted");
    assert_eq!(out[6], None);
    assert_eq!(link.admit(3_000_000, 1500), Some(7_000_000), "three have left");
    assert_eq!(link.admit(50_000_000, 1500), Some(51_000_000), "idle again");
}

#[test]
fn queues_in_bytes_buckets_and_changed_rates() {
    let mut link = Link {
        queue: Queue::Bytes(3000),
        ..Link::default()
    };
    assert_eq!(link.admit(7, 1500), Some(7), "no limit");
    link.set_rate(12_000_000, 0);
    assert_eq!((0..9).filter(|_| link.admit(0, 1500).is_some()).count(), 3);
    link.set_rate(24_000_000, 0);
    assert_eq!(link.next_free, 1_500_000, "4500 bytes: 3 ms became 1.5 ms");
    let mut bucket = Link {
        burst: 3000,
        ..Link::default()
    };
    bucket.set_rate(12_000_000, 0);
    let now = 1_000_000_000;
    assert_eq!(bucket.admit(now, 1500), Some(now));
    assert_eq!(bucket.admit(now, 1500), Some(now), "two pass on the bucket");
    assert_eq!(bucket.admit(now, 1500), Some(now + 1_000_000));
}

#[test]
fn losses_are_as_many_and_as_long_as_said() {
    let mut rng = Rng::new(1);
    for burst in [0.0, 4.0] {
        let mut loss = Loss {
            p: 0.05,
            burst,
            ..Loss::default()
        };
        let (mut lost, mut runs, mut before) = (0, 0, false);
        for _ in 0..400_000 {
            let hit = loss.hit(&mut rng);
            lost += u32::from(hit);
            runs += u32::from(hit && !before);
            before = hit;
        }
        let (p, run) = (f64::from(lost) / 4e5, f64::from(lost) / f64::from(runs));
        assert!((p - 0.05).abs() < 0.003, "{p}");
        assert!((run - if burst > 1.0 { 4.0 } else { 1.05 }).abs() < 0.2, "{run}");
    }
    let mean = (0..100_000).map(|_| rng.exponential()).sum::<f64>() / 1e5;
    assert!((mean - 1.0).abs() < 0.02, "{mean}");
}

#[test]
fn buffers_are_used_again_and_bounded() {
    let mut pool = Pool::new(64, 1024);
    let slots: Vec<_> = (0..1024).map(|_| pool.take().unwrap()).collect();
    assert!(pool.take().is_none());
    pool.buffer(slots[1023])[63] = 9;
    pool.give_back(slots[5]);
    assert_eq!((pool.take(), pool.in_use()), (Some(slots[5]), 1024));
}
