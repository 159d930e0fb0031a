use std::ops::Bound;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use incentives::store::{Record, Store, StoreError, Write};
use rand::{RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;
use redb::{BackendError, StorageBackend};
use swarm::NodeConfig;
use wire::{Bitrate, PeerId, SecretKey, Time};

use super::file::{OpenError, create};
use super::{Gate, LedgerFile, node_with, path_in, writer};

fn key() -> SecretKey {
    SecretKey::from_bytes(&[3; 32])
}

fn me() -> PeerId {
    key().peer_id()
}

fn set(key: u8, value: &[u8]) -> Write {
    Write {
        key: vec![key; 33],
        value: Some(value.to_vec()),
    }
}

fn record(key: u8, value: &[u8]) -> Record {
    (vec![key; 33], value.to_vec())
}

fn config() -> NodeConfig {
    NodeConfig {
        peer: me(),
        key: key(),
        listen: Vec::new(),
        upload: Bitrate::from_kbps(1_000),
        seed: 1,
        max_neighbours: 8,
        ring_after: None,
        split_above: swarm::SPLIT_ABOVE,
    }
}

const NOW: Time = Time::from_micros(1_700_000_000_000_000);

#[test]
fn what_was_written_is_there_the_next_time_and_for_its_owner_only() {
    let folder = tempfile::tempdir().unwrap();
    let path = path_in(folder.path(), me());
    let mut ledger = LedgerFile::open(&path, me()).unwrap();
    ledger.apply(&[set(1, b"one"), set(2, b"two")]).unwrap();
    let gone = Write {
        key: vec![1; 33],
        value: None,
    };
    ledger.apply(&[gone, set(3, b"three")]).unwrap();
    let mode = std::fs::metadata(&path).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    // Whoever looks at the accounts does not disturb the node, and sees what it wrote last.
    let (owner, seen) = LedgerFile::read(&path).unwrap();
    assert_eq!(
        (owner, seen),
        (me(), vec![record(2, b"two"), record(3, b"three")])
    );
    assert!(matches!(LedgerFile::open(&path, me()), Err(OpenError::InUse)));
    drop(ledger);
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
    let mut again = LedgerFile::open(&path, me()).unwrap();
    assert_eq!(again.load().unwrap(), [record(2, b"two"), record(3, b"three")]);
    let mode = std::fs::metadata(&path).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600, "closed to others again");
    drop(again);
    let other = SecretKey::from_bytes(&[4; 32]).peer_id();
    assert!(matches!(
        LedgerFile::open(&path, other),
        Err(OpenError::Damaged(_))
    ));
}

#[test]
fn the_ledger_of_a_node_that_was_killed_can_be_read_and_is_left_as_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let path = path_in(folder.path(), me());
    let mut ledger = LedgerFile::open(&path, me()).unwrap();
    ledger.apply(&[set(1, b"one")]).unwrap();
    // As the disk has it while the database is open: nobody has closed it.
    let killed = folder.path().join("killed.redb");
    std::fs::copy(&path, &killed).unwrap();
    let before = std::fs::read(&killed).unwrap();
    assert_eq!(
        LedgerFile::read(&killed).unwrap(),
        (me(), vec![record(1, b"one")])
    );
    assert_eq!(std::fs::read(&killed).unwrap(), before);
}

/// A disk in memory: what is not synced may be lost, and after some operations the power fails or the disk is full.
#[derive(Clone, Debug, Default)]
struct Disk(Arc<Mutex<Image>>);

#[derive(Debug, Default)]
struct Image {
    bytes: Vec<u8>,
    /// What survives a loss of power, and what was written since and may.
    synced: Vec<u8>,
    since: Vec<(usize, Vec<u8>)>,
    operations: u64,
    fails_from: Option<u64>,
}

impl Disk {
    fn fail_after(&self, more: Option<u64>) {
        let mut image = self.0.lock().unwrap();
        image.fails_from = more.map(|more| image.operations + more);
    }

    fn operations(&self) -> u64 {
        self.0.lock().unwrap().operations
    }

    /// The disk after the power failed: of what was not synced some is there.
    fn after_power_loss(&self, rng: &mut ChaCha8Rng) -> Disk {
        let image = self.0.lock().unwrap();
        let mut bytes = image.synced.clone();
        for (at, data) in image.since.iter().filter(|_| rng.random()) {
            bytes.resize(bytes.len().max(at + data.len()), 0);
            bytes[*at..at + data.len()].copy_from_slice(data);
        }
        Disk(Arc::new(Mutex::new(Image {
            synced: bytes.clone(),
            bytes,
            ..Image::default()
        })))
    }

    fn open(&self) -> Result<LedgerFile, OpenError> {
        let disk = self.clone();
        LedgerFile::with_opener(Box::new(move || create(disk.clone())), me())
    }

    /// Counts one change of the disk.
    fn change(&self) -> std::io::Result<std::sync::MutexGuard<'_, Image>> {
        let mut image = self.0.lock().unwrap();
        if image.fails_from.is_some_and(|from| image.operations >= from) {
            return Err(std::io::ErrorKind::StorageFull.into());
        }
        image.operations += 1;
        Ok(image)
    }
}

impl StorageBackend for Disk {
    fn len(&self) -> std::io::Result<u64> {
        Ok(self.0.lock().unwrap().bytes.len() as u64)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> std::io::Result<()> {
        let image = self.0.lock().unwrap();
        let from = image.bytes.get(offset as usize..).unwrap_or_default();
        let from = from.get(..out.len()).ok_or(std::io::ErrorKind::UnexpectedEof)?;
        out.copy_from_slice(from);
        Ok(())
    }

    fn set_len(&self, len: u64) -> std::io::Result<()> {
        let mut image = self.change()?;
        image.bytes.resize(len as usize, 0);
        // A file's length is part of what `sync` makes durable; a longer file does no harm.
        let longest = image.synced.len().max(len as usize);
        image.synced.resize(longest, 0);
        Ok(())
    }

    fn sync_data(&self) -> std::io::Result<()> {
        let mut image = self.change()?;
        image.synced = image.bytes.clone();
        image.since.clear();
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> std::io::Result<()> {
        let mut image = self.change()?;
        let at = offset as usize;
        let needed = image.bytes.len().max(at + data.len());
        image.bytes.resize(needed, 0);
        image.bytes[at..at + data.len()].copy_from_slice(data);
        image.since.push((at, data.to_vec()));
        Ok(())
    }

    // Nobody else opens it.
    fn try_lock_range(&self, _: Bound<u64>, _: Bound<u64>) -> Result<bool, BackendError> {
        Ok(true)
    }

    fn try_lock_shared_range(&self, _: Bound<u64>, _: Bound<u64>) -> Result<bool, BackendError> {
        Ok(true)
    }

    fn lock_range(&self, _: Bound<u64>, _: Bound<u64>) -> Result<(), BackendError> {
        Ok(())
    }

    fn lock_shared_range(&self, _: Bound<u64>, _: Bound<u64>) -> Result<(), BackendError> {
        Ok(())
    }

    fn unlock_range(&self, _: Bound<u64>, _: Bound<u64>) -> Result<(), BackendError> {
        Ok(())
    }

    fn query_lock_range(&self, _: Bound<u64>, _: Bound<u64>) -> Result<bool, BackendError> {
        Ok(false)
    }
}

/// Batches as a node makes them: accounts that are written again and again, and records that come and go.
fn batches() -> Vec<Vec<Write>> {
    (0..12u8)
        .map(|n| {
            let gone = Write {
                key: vec![98 + n; 33],
                value: None,
            };
            vec![set(n % 3, &[n; 700]), set(100 + n, &[n; 300]), gone]
        })
        .collect()
}

fn after(batches: &[Vec<Write>]) -> Vec<Record> {
    let mut store = incentives::store::MemoryStore::new();
    for batch in batches {
        store.apply(batch).unwrap();
    }
    store.load().unwrap()
}

#[test]
fn a_batch_is_there_whole_or_not_at_all_whenever_the_power_fails() {
    let rng = &mut ChaCha8Rng::seed_from_u64(11);
    let all = batches();
    let whole = Disk::default();
    let mut ledger = whole.open().unwrap();
    let begun = whole.operations();
    for batch in &all {
        ledger.apply(batch).unwrap();
    }
    let operations = whole.operations() - begun;
    assert!(operations > 50, "{operations}");
    let mut seen = [0; 2];
    for at in 0..operations {
        let disk = Disk::default();
        let mut ledger = disk.open().unwrap();
        disk.fail_after(Some(at));
        let done = all.iter().take_while(|batch| ledger.apply(batch).is_ok()).count();
        for _ in 0..4 {
            let found = disk.after_power_loss(rng).open().unwrap().load().unwrap();
            // What was acknowledged is there. The one that was being written is there or is not.
            let next = all.get(..done + 1).map(after);
            let with_next = next.is_some_and(|next| next == found);
            assert!(
                with_next || found == after(&all[..done]),
                "power fails at operation {at}"
            );
            seen[usize::from(with_next)] += 1;
        }
        std::mem::forget(ledger);
    }
    println!("{operations} operations: {seen:?} without and with the batch that was being written");
}

#[test]
fn a_full_disk_is_an_error_and_what_was_there_stays() {
    let all = batches();
    for at in 0..30 {
        let disk = Disk::default();
        let mut ledger = disk.open().unwrap();
        ledger.apply(&all[0]).unwrap();
        disk.fail_after(Some(at));
        let done = 1 + all[1..]
            .iter()
            .take_while(|batch| ledger.apply(batch).is_ok())
            .count();
        assert!(done < all.len());
        assert!(matches!(ledger.apply(&all[done]), Err(StoreError::Write(_))));
        disk.fail_after(None);
        let found = ledger.load().unwrap();
        assert!(
            found == after(&all[..done]) || found == after(&all[..done + 1]),
            "{at}"
        );
        // And it goes on where it was.
        ledger.apply(&[set(9, b"later")]).unwrap();
        assert!(ledger.load().unwrap().contains(&record(9, b"later")));
    }
}

#[test]
fn what_is_damaged_is_told_and_never_read_as_something_else() {
    let folder = tempfile::tempdir().unwrap();
    let path = path_in(folder.path(), me());
    let mut ledger = LedgerFile::open(&path, me()).unwrap();
    for batch in batches() {
        ledger.apply(&batch).unwrap();
    }
    let right = ledger.load().unwrap();
    drop(ledger);
    let whole = std::fs::read(&path).unwrap();
    let rng = &mut ChaCha8Rng::seed_from_u64(5);
    let damaged = folder.path().join("damaged.redb");
    let mut refused = 0;
    let used: Vec<usize> = (0..whole.len()).filter(|&at| whole[at] != 0).collect();
    for n in 0..150 {
        let mut bytes = whole.clone();
        match n % 3 {
            0 => bytes[used[rng.random_range(0..used.len())]] ^= 1 << rng.random_range(0..8),
            1 => bytes.truncate(rng.random_range(1..bytes.len())),
            _ => {
                let at = rng.random_range(0..used.len());
                for &at in used[at..].iter().take(64) {
                    bytes[at] = rng.random();
                }
            }
        }
        std::fs::write(&damaged, &bytes).unwrap();
        match LedgerFile::open(&damaged, me()).map(|mut ledger| ledger.load()) {
            Ok(Ok(found)) => assert_eq!(found, right, "damage {n} passed for right"),
            Ok(Err(StoreError::Corrupt(_))) | Err(OpenError::Damaged(_)) => refused += 1,
            other => panic!("damage {n}: {other:?}"),
        }
    }
    assert!(refused > 60, "{refused} of 150");
}

fn kept_aside(folder: &Path) -> Vec<Vec<u8>> {
    let names = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path());
    let aside = names.filter(|path| path.to_string_lossy().contains(".damaged-"));
    aside.map(|path| std::fs::read(path).unwrap()).collect()
}

#[test]
fn a_damaged_file_is_kept_and_a_new_one_begun() {
    let folder = tempfile::tempdir().unwrap();
    let path = path_in(folder.path(), me());
    let nonsense = b"this was a ledger once".repeat(400);
    std::fs::write(&path, &nonsense).unwrap();
    let (node, gate) = node_with(&path, config(), NOW);
    assert!(gate.is_some() && node.stats(NOW).trust.is_some());
    assert_eq!(kept_aside(folder.path()), [nonsense]);
    drop(node);
    // A file that is whole, with a record that is none.
    std::thread::sleep(Duration::from_millis(50));
    let mut ledger = LedgerFile::open(&path, me()).unwrap();
    ledger.apply(&[set(b'A', b"no account")]).unwrap();
    drop(ledger);
    let (node, gate) = node_with(&path, config(), NOW);
    assert!(gate.is_some() && node.stats(NOW).trust.is_some());
    assert_eq!(kept_aside(folder.path()).len(), 2);
}

#[test]
fn a_file_that_cannot_be_used_means_no_accounts_and_is_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let path = path_in(folder.path(), me());
    let held = LedgerFile::open(&path, me()).unwrap();
    let (node, gate) = node_with(&path, config(), NOW);
    assert!(gate.is_none() && node.stats(NOW).trust.is_none());
    drop(held);
    assert!(kept_aside(folder.path()).is_empty());
    let nowhere = folder.path().join("gone").join("trust.redb");
    let (node, gate) = node_with(&nowhere, config(), NOW);
    assert!(gate.is_none() && node.stats(NOW).trust.is_none());
}

fn frame(n: u8) -> Bytes {
    Bytes::from(vec![n])
}

fn wait_until(mut is: impl FnMut() -> bool) {
    for _ in 0..400 {
        if is() {
            return;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    panic!("it does not come");
}

#[test]
fn what_comes_soon_after_waits_for_more_unless_it_is_a_step_of_a_shift() {
    let disk = Disk::default();
    let (mut store, mut gate) = writer::start(disk.open().unwrap()).unwrap();
    let mut say = |gate: &mut Gate, kind: u8, n: u8| {
        store.apply(&[set(kind, b"it")]).unwrap();
        gate.hold(me(), frame(n));
    };
    say(&mut gate, b'A', 1);
    wait_until(|| gate.ready() == Some((me(), frame(1))));
    say(&mut gate, b'A', 2);
    std::thread::sleep(Duration::from_millis(200));
    assert_eq!(gate.ready(), None, "it waits for others");
    say(&mut gate, b'N', 3);
    let mut left = Vec::new();
    for _ in 0..100 {
        left.extend(gate.ready());
        if left.len() == 2 {
            break;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    assert_eq!(
        left,
        [(me(), frame(2)), (me(), frame(3))],
        "sooner than a second after the first"
    );
}

#[test]
fn nothing_leaves_before_the_disk_has_what_it_stands_on() {
    let disk = Disk::default();
    let (mut store, mut gate) = writer::start(disk.open().unwrap()).unwrap();
    gate.hold(me(), frame(0));
    assert_eq!(gate.ready(), Some((me(), frame(0))), "it stands on nothing");
    // The disk is busy: this takes the lock that each change needs.
    let busy = disk.0.lock().unwrap();
    store.apply(&[set(1, b"one")]).unwrap();
    gate.hold(me(), frame(1));
    store.apply(&[set(2, b"two")]).unwrap();
    gate.hold(me(), frame(2));
    std::thread::sleep(Duration::from_millis(30));
    assert_eq!(gate.ready(), None);
    drop(busy);
    let mut left = Vec::new();
    wait_until(|| {
        left.extend(gate.ready());
        left.len() == 2
    });
    assert_eq!(left, [(me(), frame(1)), (me(), frame(2))]);
    assert_eq!(gate.failure(), None);
}

#[test]
fn what_stands_on_something_unwritten_never_leaves() {
    let disk = Disk::default();
    let (mut store, mut gate) = writer::start(disk.open().unwrap()).unwrap();
    store.apply(&[set(1, b"one")]).unwrap();
    gate.hold(me(), frame(1));
    wait_until(|| gate.ready().is_some());
    disk.fail_after(Some(0));
    store.apply(&[set(2, b"two")]).unwrap();
    gate.hold(me(), frame(2));
    let mut failure = None;
    wait_until(|| {
        failure = gate.failure();
        failure.is_some()
    });
    assert!(matches!(failure, Some(StoreError::Write(_))), "{failure:?}");
    assert_eq!(gate.failure(), None, "it is told once");
    // The node does not know yet.
    gate.hold(me(), frame(3));
    assert!(matches!(
        store.apply(&[set(3, b"three")]),
        Err(StoreError::Write(_))
    ));
    assert_eq!(gate.ready(), None);
    disk.fail_after(None);
    assert_eq!(store.load().unwrap(), [record(1, b"one")]);
    assert_eq!(gate.ready(), None, "what stood on it is dropped");
    store.apply(&[set(4, b"four")]).unwrap();
    gate.hold(me(), frame(4));
    let mut left = None;
    wait_until(|| {
        left = gate.ready();
        left.is_some()
    });
    assert_eq!(left, Some((me(), frame(4))));
    assert_eq!(store.load().unwrap(), [record(1, b"one"), record(4, b"four")]);
}

#[tokio::test]
async fn the_end_waits_for_the_disk_and_frees_the_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = path_in(folder.path(), me());
    let (mut store, gate) = writer::start(LedgerFile::open(&path, me()).unwrap()).unwrap();
    for n in 0..20 {
        store.apply(&[set(n, b"last words")]).unwrap();
    }
    gate.settle().await;
    drop(store);
    gate.end().await;
    let mut again = LedgerFile::open(&path, me()).unwrap();
    assert_eq!(again.load().unwrap().len(), 20);
}
