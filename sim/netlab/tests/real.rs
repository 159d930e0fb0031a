//! Real packets through real devices. Needs Linux and root; says so where it cannot run.

#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used)] // Helpers of tests: to fail is to panic.

use std::io::{BufRead, BufReader, Write};
use std::net::UdpSocket;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use headwater_netlab::{Lab, Scenario};

/// A lab of this scenario, or the reason why there is none.
fn lab(text: &str) -> Option<Lab> {
    if let Err(why) = Lab::available() {
        eprintln!("skipped: {why:#}");
        return None;
    }
    Some(Lab::start(&Scenario::parse(text).unwrap()).unwrap())
}

/// This test program once more, at a node, as the other side.
fn echo_at(lab: &Lab, node: usize) -> Child {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command
        .args(["--exact", "the_other_side", "--nocapture", "--test-threads=1"])
        .env("NETLAB_TEST_ECHO", "1")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped());
    let mut child = lab.spawn(node, &mut command).unwrap();
    let mut lines = BufReader::new(child.stdout.as_mut().unwrap()).lines();
    assert!(lines.any(|line| line.unwrap().contains("echo is up")));
    child
}

/// Sends back what comes, if it was started for that.
#[test]
fn the_other_side() {
    if std::env::var_os("NETLAB_TEST_ECHO").is_none() {
        return;
    }
    let socket = UdpSocket::bind("0.0.0.0:7000").unwrap();
    println!("\necho is up");
    std::io::stdout().flush().unwrap();
    let mut buffer = [0; 2048];
    loop {
        let (n, from) = socket.recv_from(&mut buffer).unwrap();
        socket.send_to(&buffer[..n], from).unwrap();
    }
}

/// A socket at a node, to be used from here.
fn socket_at(lab: &Lab, node: usize) -> UdpSocket {
    lab.within(node, || UdpSocket::bind("0.0.0.0:0"))
        .unwrap()
        .unwrap()
}

#[test]
#[allow(clippy::disallowed_methods)] // Round trips through real devices are measured on the real clock.
fn packets_take_their_time_and_nothing_is_left_behind() {
    let Some(lab) = lab("name = 't1'\n[delay]\nconst_ms = 30\n[[nodes]]\nname = 'n'\ncount = 2\n") else {
        return;
    };
    let mut echo = echo_at(&lab, 1);
    let socket = socket_at(&lab, 0);
    socket.set_read_timeout(Some(Duration::from_secs(2))).unwrap();
    let to = (lab.nodes()[1].address, 7000);
    let mut best = f64::MAX;
    for _ in 0..10 {
        let sent = Instant::now();
        socket.send_to(&[7; 500], to).unwrap();
        assert_eq!(socket.recv(&mut [0; 2048]).unwrap(), 500);
        best = best.min(sent.elapsed().as_secs_f64() * 1e3);
    }
    assert!((59.5..65.0).contains(&best), "twice 30 ms: {best}");

    lab.command("set n0 loss_up=100%").unwrap();
    socket.set_read_timeout(Some(Duration::from_millis(200))).unwrap();
    socket.send_to(&[7; 500], to).unwrap();
    assert!(socket.recv(&mut [0; 2048]).is_err());
    let counters = lab.counters(true).unwrap();
    let sender = &counters.nodes[0].traffic;
    assert_eq!((sender.sent_packets, sender.sent_bytes), (11, 11 * 528));
    assert!(sender.drops().any(|drop| drop == ("loss", 1)));
    assert_eq!(counters.nodes[1].device_drops, Some(0));
    assert_eq!(lab.counters(false).unwrap().nodes[0].traffic.sent_packets, 0);

    drop(lab);
    let ended = echo.wait().unwrap();
    assert_eq!(ended.code(), None, "killed with its network");
}

#[test]
#[allow(clippy::disallowed_methods)] // As above.
fn an_uplink_has_its_rate() {
    let Some(lab) = lab(
        "name = 't2'\n[delay]\nconst_ms = 1\n[[nodes]]\nname = 'a'\nup = '4mbit'\nqueue_ms = 1000\n\
         [[nodes]]\nname = 'b'\n",
    ) else {
        return;
    };
    let mut echo = echo_at(&lab, 1);
    let socket = socket_at(&lab, 0);
    socket.set_read_timeout(Some(Duration::from_secs(3))).unwrap();
    let begun = Instant::now();
    for _ in 0..100 {
        socket
            .send_to(&[7; 1222], (lab.nodes()[1].address, 7000))
            .unwrap();
    }
    for _ in 0..100 {
        socket.recv(&mut [0; 2048]).unwrap();
    }
    // 100 packets of 1250 bytes at 4 Mbit/s: 250 ms.
    let took = begun.elapsed().as_secs_f64() * 1e3;
    assert!((245.0..300.0).contains(&took), "{took} ms");
    echo.kill().unwrap();
    echo.wait().unwrap();
}
