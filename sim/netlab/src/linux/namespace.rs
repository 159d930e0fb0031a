//! Network namespaces with one device each. They have no names: a descriptor keeps each of them, and they vanish with it.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::net::UdpSocket;
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use rustix::process::{Pid, Signal, kill_process};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

use super::sys::{self, Setting};
use crate::engine::Engine;

/// Where devices come from.
pub(super) const TUN: &str = "/dev/net/tun";

/// The device's name in every namespace.
const DEVICE: &str = "eth0";

/// Packets that the kernel holds until the emulator reads them: a tenth of a second at 100 Mbit/s.
const DEVICE_QUEUE: i32 = 1000;

/// The calling thread's.
const OWN: &str = "/proc/thread-self/ns/net";

/// A network namespace.
pub(super) struct Namespace(File);

impl Namespace {
    pub(super) fn open(path: &Path) -> Result<Namespace> {
        let file = File::open(path).with_context(|| format!("no namespace at {}", path.display()))?;
        Ok(Namespace(file))
    }

    /// Puts the calling thread into it.
    pub(super) fn enter(&self) -> Result<()> {
        move_into_link_name_space(self.0.as_fd(), Some(LinkNameSpaceType::Network))
            .map_err(io::Error::from)
            .context("cannot enter a network namespace")
    }

    /// Does something in it and comes back.
    pub(super) fn within<T>(&self, what: impl FnOnce() -> T) -> Result<T> {
        let home = Namespace::open(Path::new(OWN))?;
        self.enter()?;
        let done = what();
        home.enter()?;
        Ok(done)
    }

    /// Where other processes find it as long as this one keeps it.
    pub(super) fn path(&self) -> PathBuf {
        format!("/proc/{}/fd/{}", std::process::id(), self.0.as_raw_fd()).into()
    }

    fn identity(&self) -> Option<(u64, u64)> {
        self.0.metadata().ok().map(|file| (file.dev(), file.ino()))
    }
}

/// A node's device as the emulator sees it.
pub(super) struct Device {
    tun: File,
    /// The namespace's list of devices with their counters.
    list: File,
}

impl Device {
    pub(super) fn read(&self, buffer: &mut [u8]) -> io::Result<usize> {
        (&self.tun).read(buffer)
    }

    pub(super) fn write(&self, packet: &[u8]) -> bool {
        (&self.tun).write(packet).is_ok_and(|n| n == packet.len())
    }

    /// Packets that the kernel dropped because the device's queue was full.
    pub(super) fn drops(&self) -> Option<u64> {
        let mut text = [0; 2048];
        let n = self.list.read_at(&mut text, 0).ok()?;
        let text = String::from_utf8_lossy(&text[..n]);
        let line = text
            .lines()
            .find_map(|line| line.trim().strip_prefix(DEVICE)?.strip_prefix(':'))?;
        // Eight columns of reception, then bytes, packets, errors and drops of transmission.
        line.split_whitespace().nth(11)?.parse().ok()
    }
}

impl AsFd for Device {
    fn as_fd(&self) -> std::os::fd::BorrowedFd<'_> {
        self.tun.as_fd()
    }
}

/// A namespace with its device for each node of the engine. The calling thread is back in its own afterwards.
pub(super) fn make(engine: &Engine, mtu: usize) -> Result<(Vec<Namespace>, Vec<Device>)> {
    let home = Namespace::open(Path::new(OWN))?;
    let made = engine
        .nodes
        .iter()
        .map(|node| {
            make_one(node.address, node.prefix, mtu)
                .with_context(|| format!("cannot make the network of {}", node.name))
        })
        .collect();
    home.enter()?;
    made
}

fn make_one(address: u32, prefix: u8, mtu: usize) -> Result<(Namespace, Device)> {
    sys::unshare_network()?;
    // The device is to have no IPv6 address, which would only send what nobody carries. Where there is no IPv6 there is
    // nothing to turn off.
    let _ = fs::write("/proc/sys/net/ipv6/conf/default/disable_ipv6", "1");
    let tun = File::options()
        .read(true)
        .write(true)
        .custom_flags(libc::O_NONBLOCK)
        .open(TUN)
        .context(TUN)?;
    sys::make_device(&tun, DEVICE).context("the device")?;
    let socket = UdpSocket::bind("0.0.0.0:0")?;
    sys::configure(&socket, "lo", &Setting::Up)?;
    for setting in [
        Setting::Mtu(mtu as i32),
        Setting::Queue(DEVICE_QUEUE),
        Setting::Address(address),
        Setting::Netmask(u32::MAX << (32 - prefix)),
        Setting::Up,
    ] {
        sys::configure(&socket, DEVICE, &setting)?;
    }
    sys::default_route(&socket, DEVICE).context("the route")?;
    let device = Device {
        tun,
        list: File::open("/proc/thread-self/net/dev")?,
    };
    Ok((Namespace::open(Path::new(OWN))?, device))
}

/// Kills every process in these namespaces, other than this one.
pub(super) fn end_processes(spaces: &[Namespace]) {
    let ours: Vec<(u64, u64)> = spaces.iter().filter_map(Namespace::identity).collect();
    let own = std::process::id();
    let listed = fs::read_dir("/proc").into_iter().flatten().flatten();
    let numbers = listed.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    for number in numbers.filter(|number| *number != own) {
        let inside = fs::metadata(format!("/proc/{number}/ns/net"))
            .is_ok_and(|space| ours.contains(&(space.dev(), space.ino())));
        if let Some(pid) = Pid::from_raw(number as i32).filter(|_| inside) {
            // It may have ended by itself meanwhile.
            let _ = kill_process(pid, Signal::KILL);
        }
    }
}
