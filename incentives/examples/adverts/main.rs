//! What adverts cost a peer in swarms of several sizes: real cores, with signatures, over a random graph, in virtual time.
//!
//!     cargo run --release -p headwater-incentives --example adverts -- WARM MEASURED PEERS...
//!
//! WARM: seconds before counting begins; MEASURED: seconds that are counted; PEERS: how many there are, one run for each number.

#![allow(clippy::print_stdout, reason = "figures are what this is for")]

mod society;

use std::time::Duration;

use society::{NEIGHBOURS, Society, Tally, spread};

fn main() {
    let mut numbers = std::env::args().skip(1).map(|word| word.parse::<usize>());
    let (Some(Ok(warm)), Some(Ok(measured))) = (numbers.next(), numbers.next()) else {
        println!("usage: adverts WARM MEASURED PEERS...");
        return;
    };
    println!(
        "{NEIGHBOURS} neighbours each, {measured} s after {warm} s; per peer and second (mean, p99, greatest)"
    );
    println!(
        "| peers | accounts a peer | adverts sent | received | bytes sent | received | view, adverts | faults |"
    );
    println!("| ---: | ---: | --- | --- | --- | --- | --- | ---: |");
    for peers in numbers.map_while(Result::ok) {
        let mut society = Society::new(peers, 1);
        society.run_for(Duration::from_secs(warm as u64));
        let tallies = society.run_for(Duration::from_secs(measured as u64));
        let of = |value: fn(&Tally) -> u64| {
            let rates = tallies.iter().map(|tally| value(tally) as f64 / measured as f64);
            let (mean, p99, most) = spread(rates.collect());
            format!("{mean:.2}, {p99:.2}, {most:.2}")
        };
        let (mean, p99, most) = spread(society.views().into_iter().map(|len| len as f64).collect());
        println!(
            "| {peers} | {:.1} | {} | {} | {} | {} | {mean:.0}, {p99:.0}, {most:.0} | {} |",
            society.accounts() as f64 / peers as f64,
            of(|tally| tally.sent.adverts),
            of(|tally| tally.received.adverts),
            of(|tally| tally.sent.bytes),
            of(|tally| tally.received.bytes),
            society.faults(),
        );
    }
}
