//! What a tree file must hold, by what was written to it.

use std::collections::{HashMap, HashSet};

use mallocop::trace::{ExtentPlace, LogEntry, ProcessState};

/// A program that has counted itself in.
pub(crate) struct Program {
    /// Its extent.
    pub(crate) number: u32,
    pub(crate) log: Vec<(LogEntry, Vec<u8>)>,
    /// Entries for which there was no room.
    pub(crate) lost: u32,
    pub(crate) totals: [u64; 4],
    pub(crate) state: ProcessState,
    pub(crate) status: u32,
    /// Words of the stacks of the sites from 1 on.
    pub(crate) stacks: Vec<Vec<u64>>,
    /// The extent with the sites' nodes.
    pub(crate) sites: Option<ExtentPlace>,
    /// Where its counts are.
    pub(crate) counts: Option<usize>,
    /// Blocks and bytes by site.
    pub(crate) in_use: HashMap<u32, (i64, u64)>,
}

impl Program {
    /// One that has said nothing so far.
    pub(crate) fn new(number: u32) -> Self {
        Self {
            number,
            log: Vec::new(),
            lost: 0,
            totals: [0; 4],
            state: ProcessState::Running,
            status: 0,
            stacks: Vec::new(),
            sites: None,
            counts: None,
            in_use: HashMap::new(),
        }
    }
}

/// The file.
#[derive(Default)]
pub(crate) struct Model {
    /// The last one is what runs now.
    pub(crate) programs: Vec<Program>,
    /// Extents that somebody has.
    pub(crate) taken: HashSet<u32>,
    pub(crate) children: u32,
    pub(crate) findings: u32,
    pub(crate) exit_code: Option<u32>,
    seed: u8,
}

impl Model {
    /// What runs now.
    pub(crate) fn now(&mut self) -> &mut Program {
        self.programs.last_mut().expect("a program")
    }

    /// An extent is somebody's from here on.
    ///
    /// # Panics
    /// If it was before.
    pub(crate) fn take(&mut self, number: u32) {
        assert!(self.taken.insert(number), "extent {number} was given out twice");
    }

    /// So many bytes, unlike the last ones.
    pub(crate) fn bytes(&mut self, len: usize) -> Vec<u8> {
        self.seed = self.seed.wrapping_add(37);
        (0..len).map(|at| self.seed.wrapping_add(at as u8)).collect()
    }
}
