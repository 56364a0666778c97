//! What a look into the shadow costs: a block declared live and taken again, at random places in
//! 1 and in 64 regions of 1 MiB, by one thread and by two at once on regions of their own.

use std::io::Write;
use std::thread;
use std::time::Instant;

use mallocop::model::site::ProcessSite;
use mallocop::shadow::block_table;
use mallocop::shadow::block_table::BlockState;

use crate::random::Random;

const REGION: usize = 1 << 20;
/// Blocks of 64 bytes, as many as one region holds, spread over all.
const BLOCKS: usize = REGION / 64;
const ROUNDS: usize = 400;
/// An address range that no mapping of this process is in.
const BASE: usize = 0x2222_0000_0000;

/// Writes the table.
pub(crate) fn run(out: &mut impl Write) -> Result<(), String> {
    let mut rows = String::from(
        "| ns for declaring a block live and taking it | 1 region | 64 regions \
         |\n|---|---:|---:|\n",
    );
    for (name, threads, alone) in [
        ("one thread, plain store", 1, true),
        ("one thread, compare and swap", 1, false),
        ("two threads, compare and swap", 2, false),
    ] {
        let one = measure(threads, 1, alone)?;
        let many = measure(threads, 64, alone)?;
        rows.push_str(&format!("| {name} | {one:.1} | {many:.1} |\n"));
    }
    out.write_all(rows.as_bytes()).map_err(|error| error.to_string())
}

/// Nanoseconds for a pair, the best of five.
fn measure(threads: usize, regions: usize, alone: bool) -> Result<f64, String> {
    let mut best = f64::INFINITY;
    for _ in 0..5 {
        let times: Vec<_> = thread::scope(|scope| {
            let started: Vec<_> = (0..threads)
                .map(|thread| scope.spawn(move || pass(thread, regions, alone)))
                .collect();
            started.into_iter().map(thread::ScopedJoinHandle::join).collect()
        });
        let slowest = times.into_iter().try_fold(0f64, |slowest, time| match time {
            Ok(Some(time)) => Ok(slowest.max(time)),
            _ => Err("no memory for the registry".to_owned()),
        })?;
        best = best.min(slowest);
    }
    Ok(best)
}

fn pass(thread: usize, regions: usize, alone: bool) -> Option<f64> {
    let start = BASE + thread * 64 * REGION;
    if !block_table::cover_for(thread as u32, start, regions * REGION) {
        return None;
    }
    let mut random = Random::new(7);
    let blocks: Vec<usize> =
        (0..BLOCKS).map(|_| start + random.below(regions * REGION / 64) * 64).collect();
    let class = mallocop::arena::size_class::Class::from_index(2);
    let before = Instant::now();
    for _ in 0..ROUNDS {
        for &block in &blocks {
            block_table::set_live(block, class, ProcessSite::NONE);
            if block_table::take(block, BlockState::Evicted, alone).is_err() {
                return None;
            }
        }
    }
    Some(before.elapsed().as_nanos() as f64 / (ROUNDS * BLOCKS) as f64)
}
