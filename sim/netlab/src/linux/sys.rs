//! System calls for which there is no safe wrapper, each in one. Everything unsafe of this crate is here.

#![allow(unsafe_code)] // Network devices are set up by ioctls, for which nobody has safe wrappers.

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::process::CommandExt;
use std::process::Command;

use rustix::thread::UnshareFlags;

/// What an ioctl or another call returned, as a result.
fn check(returned: libc::c_int) -> io::Result<()> {
    if returned < 0 {
        Err(io::Error::last_os_error())
    } else {
        Ok(())
    }
}

/// Gives the calling thread a network namespace of its own.
pub(super) fn unshare_network() -> io::Result<()> {
    // SAFETY: only NEWNET: memory and descriptors stay shared as all code of this process assumes.
    unsafe { rustix::thread::unshare_unsafe(UnshareFlags::NEWNET) }?;
    Ok(())
}

/// The kernel kills the program when the thread that started it ends, whatever the reason.
pub(super) fn die_with_parent(command: &mut Command) {
    // SAFETY: between fork and exec the closure makes one system call and neither allocates nor takes a lock.
    unsafe {
        command.pre_exec(|| {
            rustix::process::set_parent_process_death_signal(Some(rustix::process::Signal::KILL))?;
            Ok(())
        });
    }
}

/// Real-time priority for the calling thread, not for what it starts.
pub(super) fn real_time() -> io::Result<()> {
    let priority = libc::sched_param { sched_priority: 1 };
    // SAFETY: 0 is the calling thread, and the parameters outlive the call.
    check(unsafe { libc::sched_setscheduler(0, libc::SCHED_FIFO | libc::SCHED_RESET_ON_FORK, &priority) })
}

/// A request about the device of this name, all else zero.
fn request(device: &str) -> libc::ifreq {
    // SAFETY: a structure of integers and a union of such, for which zeros are valid.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    // The last byte stays zero.
    let room = request.ifr_name.len() - 1;
    for (to, from) in request.ifr_name[..room].iter_mut().zip(device.bytes()) {
        *to = from as libc::c_char;
    }
    request
}

fn address(ip: u32) -> libc::sockaddr {
    // SAFETY: `sockaddr_in` and `sockaddr` are plain data of the same size, made to be taken for one another.
    unsafe {
        let mut address: libc::sockaddr_in = std::mem::zeroed();
        address.sin_family = libc::AF_INET as libc::sa_family_t;
        address.sin_addr.s_addr = ip.to_be();
        std::mem::transmute(address)
    }
}

/// Makes an opened `/dev/net/tun` the device of this name in the thread's namespace.
pub(super) fn make_device(tun: &File, device: &str) -> io::Result<()> {
    let mut wanted = request(device);
    wanted.ifr_ifru.ifru_flags = (libc::IFF_TUN | libc::IFF_NO_PI) as i16;
    // SAFETY: TUNSETIFF reads and writes one ifreq; TUNSETOFFLOAD takes a number.
    unsafe {
        check(libc::ioctl(tun.as_raw_fd(), libc::TUNSETIFF as _, &mut wanted))?;
        // None: the kernel cuts large sends into packets and fills in checksums before they are read here.
        check(libc::ioctl(tun.as_raw_fd(), libc::TUNSETOFFLOAD as _, 0))
    }
}

/// A setting of a device.
pub(super) enum Setting {
    Up,
    Mtu(i32),
    /// Packets that may wait to be read.
    Queue(i32),
    Address(u32),
    Netmask(u32),
}

/// Applies a setting. `socket` is any socket of the device's namespace.
pub(super) fn configure(socket: &impl AsRawFd, device: &str, setting: &Setting) -> io::Result<()> {
    let mut wanted = request(device);
    let union = &mut wanted.ifr_ifru;
    let code = match *setting {
        Setting::Up => {
            union.ifru_flags = (libc::IFF_UP | libc::IFF_MULTICAST) as i16;
            libc::SIOCSIFFLAGS
        }
        Setting::Mtu(mtu) => {
            union.ifru_mtu = mtu;
            libc::SIOCSIFMTU
        }
        Setting::Queue(packets) => {
            // The kernel's ifr_qlen, which libc does not name, is in the place of this member.
            union.ifru_metric = packets;
            libc::SIOCSIFTXQLEN
        }
        Setting::Address(ip) => {
            union.ifru_addr = address(ip);
            libc::SIOCSIFADDR
        }
        Setting::Netmask(mask) => {
            union.ifru_addr = address(mask);
            libc::SIOCSIFNETMASK
        }
    };
    // SAFETY: each of these codes reads one ifreq, whose member for that code was set above.
    check(unsafe { libc::ioctl(socket.as_raw_fd(), code as _, &mut wanted) })
}

/// Sends everything to this device.
pub(super) fn default_route(socket: &impl AsRawFd, device: &str) -> io::Result<()> {
    let mut name = [0u8; libc::IFNAMSIZ];
    name[..device.len()].copy_from_slice(device.as_bytes());
    // SAFETY: plain data for which zeros are valid.
    let mut route: libc::rtentry = unsafe { std::mem::zeroed() };
    route.rt_dst = address(0);
    route.rt_genmask = address(0);
    route.rt_flags = libc::RTF_UP;
    route.rt_dev = name.as_mut_ptr().cast();
    // SAFETY: SIOCADDRT reads one rtentry; the name it points to ends in a zero and outlives the call.
    check(unsafe { libc::ioctl(socket.as_raw_fd(), libc::SIOCADDRT as _, &route) })
}
