//! Writing a tree file as processes do, and reading it as the command does: what was written is
//! found, in its order, and nothing else; no two claims get the same extent; what does not fit is
//! counted as lost, and only when there is no room.
//!
//! One file for the process, of two windows: each script finds it empty, and counts itself in once
//! more.

use std::sync::{Mutex, MutexGuard, PoisonError};

use arbitrary::{Arbitrary, Result};
use mallocop::trace;
use mallocop::trace::reader::ByteSource as _;
use mallocop::trace::{
    EXTENT, ExtentKind, FIRST_EXTENT, LogEntry, MOST_BYTES, ProcessState, UNIT, UNITS,
};

use crate::record_model::{Model, Program};
use crate::tally::Tally;
use crate::tree::{EXTENTS, Tree};

/// Most operations of a script.
const MAX_OPS: usize = 400;

/// What happens next.
#[derive(Arbitrary, Clone, Copy, Debug)]
enum Op {
    Append { kind: u8, len: u16 },
    AppendMany { kind: u8, len: u16, count: u8 },
    AppendTogether { threads: u8, count: u8 },
    Claim { kind: u8, index: u16 },
    ClaimMany { kind: u8, count: u8 },
    Stack { depth: u8 },
    Count { site: u8, bytes: u16, blocks: u8, frees: u8 },
    Finding,
    ExitCode { code: u8 },
    Totals { blocks: u32, bytes: u32 },
    End { state: u8, status: u8 },
    EndIfOwn { state: u8 },
    Fork,
    CountIn,
    Read,
}

static PLAYING: Mutex<()> = Mutex::new(());

/// Who plays a script: the processes that the file has, the last one being this.
struct Player {
    tree: &'static Tree,
    model: Model,
    tally: Tally,
    _alone: MutexGuard<'static, ()>,
}

const KINDS: [ExtentKind; 4] =
    [ExtentKind::Nodes, ExtentKind::Sites, ExtentKind::Counts, ExtentKind::Portions];
const ENTRIES: [LogEntry; 4] =
    [LogEntry::Program, LogEntry::Text, LogEntry::Finding, LogEntry::Unwatched];

impl Player {
    fn begin() -> Self {
        let _alone = PLAYING.lock().unwrap_or_else(PoisonError::into_inner);
        let tree = Tree::get();
        tree.empty();
        let mut player = Self { tree, model: Model::default(), tally: Tally::default(), _alone };
        player.count_in();
        player
    }

    fn play(&mut self, op: Op) {
        match op {
            Op::Append { kind, len } => self.append(kind, usize::from(len) % (MOST_BYTES + 64)),
            Op::AppendMany { kind, len, count } => {
                (0..count % 16).for_each(|_| self.append(kind, usize::from(len) % 2048));
            }
            Op::AppendTogether { threads, count } => self.append_together(threads % 4, count % 8),
            Op::Claim { kind, index } => self.claim(kind, u32::from(index)),
            Op::ClaimMany { kind, count } => {
                (0..u32::from(count % 64)).for_each(|index| self.claim(kind, index));
            }
            Op::Stack { depth } => self.store_stack(1 + usize::from(depth)),
            Op::Count { site, bytes, blocks, frees } => self.count(site, bytes, blocks, frees),
            Op::Finding => {
                trace::count_finding();
                self.model.findings += 1;
            }
            Op::ExitCode { code } => {
                trace::note_exit_code(u32::from(code));
                self.model.exit_code = Some(u32::from(code));
            }
            _ => self.play_rarer(op),
        }
    }

    fn play_rarer(&mut self, op: Op) {
        match op {
            Op::Totals { blocks, bytes } => {
                let totals = [blocks, blocks / 2, bytes, bytes / 2].map(u64::from);
                let [allocations, frees, allocated, peak] = totals;
                trace::note_totals(allocations, frees, allocated, peak);
                self.model.now().totals = totals;
            }
            Op::End { state, status } => {
                let state = ProcessState::from_code(u32::from(state) % 4 + 1).expect("a state");
                trace::end(state, u32::from(status));
                let now = self.model.now();
                (now.state, now.status) = (state, u32::from(status));
                self.tally.count("ended");
            }
            Op::EndIfOwn { state } => {
                let state = ProcessState::from_code(u32::from(state) % 4 + 1).expect("a state");
                assert!(trace::end_if_own(state));
                let now = self.model.now();
                if now.state != ProcessState::Exited {
                    (now.state, now.status) = (state, 0);
                }
                self.tally.count("ended as its own");
            }
            Op::Fork => self.fork(),
            Op::CountIn => self.count_in(),
            _ => self.read(),
        }
    }

    /// Is there an extent that nobody has?
    fn has_room(&self) -> bool {
        self.tree.reader().tags().len() < (EXTENTS - FIRST_EXTENT) as usize
    }

    fn count_in(&mut self) {
        let had_room = self.has_room();
        match trace::count_in() {
            Some(_) => {
                let number = trace::slot().expect("a slot");
                self.model.take(number);
                self.model.programs.push(Program::new(number));
                self.tally.count("counted in");
            }
            None => assert!(!had_room, "no process, though there is room"),
        }
    }

    fn append(&mut self, kind: u8, len: usize) {
        let entry = ENTRIES[usize::from(kind) % ENTRIES.len()];
        let bytes = self.model.bytes(len);
        let had_room = self.has_room();
        if trace::append(entry, &bytes) {
            self.model.now().log.push((entry, bytes));
            self.tally.count("appended");
        } else {
            assert!(len > MOST_BYTES || !had_room, "{len} bytes lost, though there is room");
            self.model.now().lost += 1;
            self.tally.count("lost");
        }
    }

    /// From several threads at once. Their order is not known, but each one's own is.
    fn append_together(&mut self, threads: u8, count: u8) {
        let write = |thread: u8| {
            let texts = (0..count).map(move |n| vec![thread; usize::from(n) * 16 + 1]);
            texts.filter(|text| !trace::append(LogEntry::Text, text)).count()
        };
        let lost: usize = std::thread::scope(|scope| {
            let writers: Vec<_> = (0..threads).map(|n| scope.spawn(move || write(n))).collect();
            writers.into_iter().map(|writer| writer.join().expect("no panic")).sum()
        });
        let reader = self.tree.reader();
        let now = self.model.now();
        let process = reader.process(now.number).expect("this process");
        let mut found = Vec::new();
        reader.log(&process, 0, true, |entry, bytes| found.push((entry, bytes.to_vec())));
        let fresh = found.split_off(now.log.len());
        assert_eq!(fresh.len() + lost, usize::from(threads) * usize::from(count));
        for thread in 0..threads {
            let lens = fresh.iter().filter(|(_, text)| text[0] == thread).map(|(_, t)| t.len());
            assert!(lens.is_sorted(), "thread {thread} is out of order");
        }
        now.log.extend(fresh);
        now.lost += lost as u32;
        self.tally.add("appended together", usize::from(threads) * usize::from(count));
    }

    fn claim(&mut self, kind: u8, index: u32) {
        let _claimed = self.claim_as(KINDS[usize::from(kind) % KINDS.len()], index);
    }

    fn claim_as(&mut self, kind: ExtentKind, index: u32) -> Option<trace::ExtentPlace> {
        let had_room = self.has_room();
        let place = trace::claim(kind, index)?;
        assert_eq!(trace::unit(place.number * UNITS + 3), Some(place.address + 3 * UNIT));
        if place.number >= trace::MOST_EXTENTS {
            assert!(!had_room, "private memory, though there is room");
            self.tally.count("private");
            return Some(place);
        }
        self.model.take(place.number);
        let tag = self.tree.reader().tags().into_iter().find(|tag| tag.number == place.number);
        let now = self.model.now();
        // All programs of the model have come by exec: the image is the process's own.
        let wanted = Some((now.number, kind, index));
        assert_eq!(tag.map(|tag| (tag.owner, tag.kind, tag.index)), wanted);
        let mut bytes = [1; EXTENT];
        assert!(self.tree.read(u64::from(place.number) * EXTENT as u64, &mut bytes));
        assert!(bytes == [0; EXTENT], "what is claimed is zero");
        self.tally.count("claimed");
        Some(place)
    }

    /// A stack of its own nodes, for the image's next site.
    fn store_stack(&mut self, depth: usize) {
        let site = self.model.now().stacks.len() as u32 + 1;
        let image = trace::image().expect("an image");
        if image.next_site.load(std::sync::atomic::Ordering::Relaxed) > 64 {
            return;
        }
        let Some(nodes) = self.claim_as(ExtentKind::Nodes, 0) else { return };
        let sites = match self.model.now().sites {
            Some(sites) => sites,
            None => match self.claim_as(ExtentKind::Sites, 0) {
                Some(place) if place.number < trace::MOST_EXTENTS => place,
                _ => return,
            },
        };
        if nodes.number >= trace::MOST_EXTENTS {
            return;
        }
        image.next_site.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        image.sites[0].store(sites.number, std::sync::atomic::Ordering::Release);
        let words: Vec<u64> = (0..depth as u64).map(|n| (n + 1) << 8 | u64::from(site)).collect();
        for (at, word) in words.iter().enumerate() {
            let parent = if at + 1 == depth { 0 } else { nodes.number * UNITS + at as u32 + 1 };
            // SAFETY: the extent is this process's, and has room for 1024 nodes.
            unsafe {
                let node = (nodes.address + at * UNIT) as *mut u64;
                node.write(*word);
                node.add(1).cast::<u32>().write(parent);
            }
        }
        // SAFETY: so is this one, for 4096 sites.
        unsafe { ((sites.address + 4 * site as usize) as *mut u32).write(nodes.number * UNITS) };
        let now = self.model.now();
        now.sites = Some(sites);
        now.stacks.push(words);
        self.tally.count("stacks");
    }

    /// What a thread has of a site.
    fn count(&mut self, site: u8, bytes: u16, blocks: u8, frees: u8) {
        let at = match self.model.now().counts {
            Some(at) => at,
            None => match self.claim_as(ExtentKind::Counts, 0) {
                Some(place) if place.number < trace::MOST_EXTENTS => place.address,
                _ => return,
            },
        };
        let place = at + usize::from(site) * size_of::<trace::CountRecord>();
        // SAFETY: the extent is this process's, and has room for 512 counts.
        let counts = unsafe { &*(place as *const trace::CountRecord) };
        let relaxed = std::sync::atomic::Ordering::Relaxed;
        counts.bytes.fetch_add(u64::from(bytes), relaxed);
        counts.blocks.fetch_add(u32::from(blocks), relaxed);
        counts.frees.fetch_add(u32::from(frees), relaxed);
        let now = self.model.now();
        now.counts = Some(at);
        let sum = now.in_use.entry(u32::from(site)).or_default();
        *sum = (sum.0 + i64::from(blocks) - i64::from(frees), sum.1 + u64::from(bytes));
        self.tally.count("counts");
    }

    /// A child that says something and leaves.
    fn fork(&mut self) {
        let parent = self.model.now().number;
        let had_room = self.has_room();
        // SAFETY: the child makes only calls that are safe in one, and leaves.
        let child = unsafe { libc::fork() };
        if child == 0 {
            trace::renew_after_fork();
            let said =
                trace::append(LogEntry::Text, b"child") && trace::end_if_own(ProcessState::Left);
            // SAFETY: ends this child.
            unsafe { libc::_exit(i32::from(!said)) };
        }
        let status = wait_for(child);
        assert_eq!(trace::slot(), Some(parent));
        if !had_room {
            return;
        }
        assert_eq!(status, 0, "a child could not say anything");
        let reader = self.tree.reader();
        let of_child = |tag: &trace::reader::Tag| tag.kind == ExtentKind::Process;
        let mut all = reader.tags().into_iter().filter(of_child).map(|tag| tag.number);
        let child = all.find(|number| !self.model.taken.contains(number)).expect("the child");
        let process = reader.process(child).expect("the child");
        let image = self.model.now().number;
        assert_eq!(
            (process.parent, process.image, process.state),
            (Some(parent), image, ProcessState::Left)
        );
        self.model.take(child);
        self.model.children += 1;
        self.tally.count("forked");
    }

    /// All of the file is what the model says.
    fn read(&mut self) {
        let mut reader = self.tree.reader();
        let header = reader.header().expect("a header");
        let programs = self.model.programs.len() as u32;
        assert_eq!(header.processes, programs + self.model.children);
        assert_eq!(
            (header.findings, header.exit_code),
            (self.model.findings, self.model.exit_code)
        );
        assert_eq!(header.root, std::process::id());
        let tags = reader.tags();
        for program in &self.model.programs {
            let process = reader.process(program.number).expect("a process");
            let ends = (process.state, process.status, process.totals, process.lost);
            assert_eq!(ends, (program.state, program.status, program.totals, program.lost));
            let mut log = Vec::new();
            reader.log(&process, 0, false, |entry, bytes| log.push((entry, bytes.to_vec())));
            assert!(log == program.log, "the log is another");
            for (site, words) in (1..).zip(&program.stacks) {
                let stack: Vec<u64> =
                    reader.stack(process.image, site).iter().map(|node| node.word).collect();
                assert_eq!(&stack, words);
            }
            let in_use = reader.in_use(process.number, &tags);
            let left = program.in_use.iter().filter(|(_, (blocks, _))| *blocks > 0);
            assert_eq!(in_use.len(), left.clone().count());
            for (site, (blocks, bytes)) in left {
                assert_eq!((i64::from(in_use[site].blocks), in_use[site].bytes), (*blocks, *bytes));
            }
        }
        self.tally.count("read");
    }
}

/// Status of a child that ends.
fn wait_for(child: libc::pid_t) -> i32 {
    let mut status = 0;
    loop {
        // SAFETY: waits for our own child.
        let ended = unsafe { libc::waitpid(child, &raw mut status, 0) };
        if ended == child {
            return status;
        }
        // libFuzzer's alarm comes in between.
        let error = std::io::Error::last_os_error();
        assert_eq!(error.kind(), std::io::ErrorKind::Interrupted);
    }
}

fn script(data: &[u8]) -> Result<Vec<Op>> {
    crate::operations(data, MAX_OPS)
}

/// Plays the script that `data` makes.
///
/// # Errors
/// If it makes none.
///
/// # Panics
/// If a demand is broken.
pub fn body(data: &[u8]) -> Result<Tally> {
    let ops = script(data)?;
    let mut player = Player::begin();
    ops.iter().for_each(|&op| player.play(op));
    player.read();
    Ok(player.tally)
}

/// The script as text.
///
/// # Errors
/// As [`body`].
pub fn show(data: &[u8]) -> Result<String> {
    Ok(script(data)?.iter().map(|op| format!("{op:?}\n")).collect())
}
