//! An open loop: requests leave at fixed times whatever became of the ones before, and are timed from when they were meant to.

use super::load::Load;
use super::stats::Times;
use std::io;
use std::net::SocketAddr;
use std::thread;
use std::time::{Duration, Instant};

/// Each has a connection and a thread of its own, so that a late answer delays one in so many.
const LANES: u32 = 16;

/// Sends `rate` requests a second for so long.
pub(crate) fn run(
    load: &Load,
    address: SocketAddr,
    rate: f64,
    lasting: Duration,
) -> io::Result<Times> {
    let every = Duration::from_secs_f64(f64::from(LANES) / rate);
    let begin = Instant::now() + Duration::from_millis(20);
    let lanes: Vec<_> = (0..LANES)
        .map(|lane| {
            let (load, first) = (load.clone(), begin + every * lane / LANES);
            thread::spawn(move || run_lane(&load, address, (first, every), begin + lasting))
        })
        .collect();
    let mut times = Times::default();
    for lane in lanes {
        times.add(lane.join().map_err(|_| io::Error::other("a lane panicked"))??);
    }
    Ok(times)
}

fn run_lane(
    load: &Load,
    address: SocketAddr,
    (first, every): (Instant, Duration),
    end: Instant,
) -> io::Result<Vec<Duration>> {
    let mut connection = load.connect_blocking(address)?;
    let (mut due, mut times) = (first, Vec::new());
    while due < end {
        thread::sleep(due.saturating_duration_since(Instant::now()));
        connection.exchange()?;
        times.push(due.elapsed());
        due += every;
    }
    Ok(times)
}
