//! Marking: from words that may be pointers to the blocks they lead to, and on from what is in those. No recursion:
//! what is still to be looked through waits in a list.

use super::chart::{Chart, Set};
use super::hidden::Hidden;
use super::interior;
use crate::heap::size::{WORD, round_down, round_up};
use crate::sys::memory;

/// Blocks from this size on are looked at page by page: only what was ever touched.
pub(super) const LARGE: usize = 256 << 10;
/// Blocks that are brought near while others are looked through.
const AHEAD: usize = 16;
/// Words of which what is known about their place is brought near while others are judged.
const WORDS: usize = 16;

/// Bytes of a line of the cache.
const LINE: usize = 64;

/// Which pointers into a block lead to it.
#[derive(Clone, Copy)]
pub enum Interior<'a> {
    /// All, to anywhere from its start to right behind it.
    Lenient,
    /// That to its start, and those that C++ programs keep alone; pointers to functions and their like are in these
    /// ranges.
    Strict(&'a [(usize, usize)]),
}

/// Marks what can be reached.
pub struct Marker<'a> {
    chart: &'a Chart<'a>,
    hidden: &'a Hidden,
    interior: Interior<'a>,
    set: Set,
    /// Found and not looked through yet.
    waiting: Vec<usize>,
    /// The next of these, on their way into the cache.
    ahead: [usize; AHEAD],
    next: usize,
    /// Words that may lead to blocks, not judged yet; 0: none.
    words: [usize; WORDS],
    next_word: usize,
}

impl<'a> Marker<'a> {
    /// One that has marked nothing, and will put what is reached into `set`.
    pub fn new(chart: &'a Chart<'a>, hidden: &'a Hidden, interior: Interior<'a>, set: Set) -> Self {
        let (waiting, ahead, words) = (Vec::new(), [0; AHEAD], [0; WORDS]);
        Self { chart, hidden, interior, set, waiting, ahead, next: 0, words, next_word: 0 }
    }

    /// Marks what a word leads to, if that is a block.
    pub fn word(&mut self, word: usize) {
        if let Some(block) = self.chart.follow(word) {
            self.led_to(block, word);
        }
    }

    /// The same, some words later.
    #[inline(always)]
    fn word_later(&mut self, word: usize) {
        self.chart.foresee(word);
        let slot = self.next_word;
        self.next_word = (slot + 1) % WORDS;
        let Some(place) = self.words.get_mut(slot) else { return };
        let before = core::mem::replace(place, word);
        self.word(before);
    }

    /// Judges all words that wait for that.
    fn judge_words(&mut self) {
        for word in core::mem::take(&mut self.words) {
            self.word(word);
        }
    }

    /// Marks a block that a word leads to, if such a word counts.
    #[inline(always)]
    fn led_to(&mut self, block: usize, word: usize) {
        match self.interior {
            Interior::Strict(constants)
                if !interior::counts(self.chart, constants, block, word) => {}
            _ => self.block(block),
        }
    }

    /// Marks a live block.
    #[inline(always)]
    pub fn block(&mut self, block: usize) {
        if self.chart.add(self.set, block) {
            self.waiting.push(block);
        }
    }

    /// Marks what the words in `[start, end)` lead to.
    ///
    /// # Safety
    /// It can be read.
    pub unsafe fn range(&mut self, start: usize, end: usize) {
        let chart = self.chart;
        // SAFETY: as the caller says.
        unsafe { each_candidate(chart, start, end, |word| self.word_later(word)) };
    }

    /// Goes on from all blocks that are marked until nothing new comes.
    pub fn finish(&mut self) {
        loop {
            // The last found goes to the back of the short row, what has waited there is near by now.
            let fresh = self.waiting.pop();
            let slot = self.next;
            self.next = (slot + 1) % AHEAD;
            let Some(place) = self.ahead.get_mut(slot) else { return };
            if let Some(fresh) = fresh {
                memory::prefetch(fresh - WORD);
                memory::prefetch(fresh + LINE);
            }
            let block = core::mem::replace(place, fresh.unwrap_or(0));
            if block != 0 {
                let (chart, hidden) = (self.chart, self.hidden);
                each_in(chart, hidden, block, |word| self.word_later(word));
            } else if fresh.is_none() && self.ahead.iter().all(|&block| block == 0) {
                self.judge_words();
                if self.waiting.is_empty() {
                    return;
                }
            }
        }
    }
}

/// Calls `each` with the words in a block that may lead to others.
pub(super) fn each_in(
    chart: &Chart<'_>,
    hidden: &Hidden,
    block: usize,
    mut each: impl FnMut(usize),
) {
    let end = block + chart.heap().extent(block);
    if end - block < LARGE && hidden.is_empty() {
        // SAFETY: a live block's bytes, which no mapping says cannot be read.
        return unsafe { each_candidate(chart, block, end, each) };
    }
    hidden.for_each_visible(block, end, |start, end| {
        // SAFETY: found to be readable.
        unsafe { each_candidate(chart, start, end, &mut each) };
    });
}

/// Calls `each` with the words in `[start, end)` that may lead to blocks.
///
/// # Safety
/// It can be read.
#[inline(always)]
unsafe fn each_candidate(chart: &Chart<'_>, start: usize, end: usize, mut each: impl FnMut(usize)) {
    let (start, end) = (round_up(start, WORD), round_down(end, WORD));
    let mut at = start;
    while at < end {
        // SAFETY: a word of the range. What others may write there meanwhile is read as it is.
        let word = unsafe { (at as *const usize).read_volatile() };
        if chart.is_near(word) {
            each(word);
        }
        at += WORD;
    }
}
