//! Marking: from words that may be pointers to the blocks they lead to, and on from what is in
//! those. No recursion: what is still to be looked through waits in a list.

use crate::arch;
use core::ops::ControlFlow;

use super::reader::MemoryReader;
use crate::heap::size::WORD;
use crate::leak::interior_pointers;
use crate::leak::mark_bitmap::{BlockSet, MarkBitmap};
use crate::sys::pagemap::Presence;

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
    /// That to its start, and those that C++ programs keep alone; pointers to functions and their
    /// like are in these ranges.
    Strict(&'a [(usize, usize)]),
}

/// Marks what can be reached.
pub struct Marker<'a> {
    marks: &'a MarkBitmap<'a>,
    reader: &'a MemoryReader<'a>,
    interior: Interior<'a>,
    set: BlockSet,
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
    pub fn new(
        marks: &'a MarkBitmap<'a>,
        reader: &'a MemoryReader<'a>,
        interior: Interior<'a>,
        set: BlockSet,
    ) -> Self {
        let (waiting, ahead, words) = (Vec::new(), [0; AHEAD], [0; WORDS]);
        Self { marks, reader, interior, set, waiting, ahead, next: 0, words, next_word: 0 }
    }

    /// Marks what a word leads to, if that is a block.
    pub fn word(&mut self, word: usize) {
        if let Some(block) = self.marks.follow(word) {
            self.led_to(block, word);
        }
    }

    /// The same, some words later.
    #[inline(always)]
    fn word_later(&mut self, word: usize) {
        self.marks.prefetch(word);
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
                if !interior_pointers::counts(self.marks, self.reader, constants, block, word) => {}
            _ => self.block(block),
        }
    }

    /// Marks a live block.
    #[inline(always)]
    pub fn block(&mut self, block: usize) {
        if self.marks.add(self.set, block) {
            self.waiting.push(block);
        }
    }

    /// Marks what the words in `[start, end)` lead to, which are so present.
    pub fn range(&mut self, start: usize, end: usize, presence: Presence) {
        let (window, reader) = (self.marks.window(), self.reader);
        let _ = reader.words((start, end, presence), window, |_, word| {
            self.word_later(word);
            ControlFlow::Continue(())
        });
    }

    /// Goes on from all blocks that are marked until nothing new comes.
    pub fn finish(&mut self) {
        loop {
            // The last found goes to the back of the short row, what has waited there is near by
            // now.
            let fresh = self.waiting.pop();
            let slot = self.next;
            self.next = (slot + 1) % AHEAD;
            let Some(place) = self.ahead.get_mut(slot) else { return };
            if let Some(fresh) = fresh {
                arch::prefetch(fresh - WORD);
                arch::prefetch(fresh + LINE);
            }
            let block = core::mem::replace(place, fresh.unwrap_or(0));
            if block != 0 {
                let (marks, reader) = (self.marks, self.reader);
                each_in(marks, reader, block, |word| self.word_later(word));
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
    marks: &MarkBitmap<'_>,
    reader: &MemoryReader<'_>,
    block: usize,
    mut each: impl FnMut(usize),
) {
    let (window, end) = (marks.window(), block + marks.heap().extent(block));
    let mut each = |_, word| {
        each(word);
        ControlFlow::Continue(())
    };
    if end - block < LARGE && reader.memory().sees_all() {
        let _ = reader.words_in_place(block, end, window, each);
        return;
    }
    reader.memory().for_each_visible(block, end, |start, end, presence| {
        let _ = reader.words((start, end, presence), window, &mut each);
    });
}
