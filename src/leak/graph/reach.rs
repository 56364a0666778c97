//! Reach: from words that may be pointers to the blocks they lead to, and on from what is in those.
//! No recursion: what is still to be looked through waits in a list.

use core::ops::ControlFlow;

use super::edges::Graph;
use crate::arch;
use crate::heap::size::WORD;
use crate::leak::interior_pointers;
use crate::leak::mark_bitmap::{BlockSet, MarkBitmap};
use crate::sys::pagemap::Presence;
use crate::sys::stable_hash::StableMap;

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

/// Which blocks are gone through.
pub trait Enter {
    /// Does it have to be told where the word stands that leads to a block?
    const WANTS_PLACE: bool = false;

    /// Is this block, to which the word at `at` leads, to be looked through? A word of no place, as
    /// of a register, is at 0.
    fn enter(&mut self, block: usize, at: usize) -> bool;
}

/// Enters every block once, and puts it into a set.
pub struct Marking<'a> {
    /// The marks that the set belongs to.
    pub marks: &'a MarkBitmap<'a>,
    /// The set.
    pub set: BlockSet,
}

impl Enter for Marking<'_> {
    #[inline(always)]
    fn enter(&mut self, block: usize, _: usize) -> bool {
        self.marks.add(self.set, block)
    }
}

/// A set that also keeps the word that led to each block: a path from a root to it.
pub struct Parents<'a> {
    marking: Marking<'a>,
    /// Where the word stands that leads to a block.
    words: StableMap<usize, usize>,
}

impl<'a> Parents<'a> {
    /// Of what is reached and put into `set`.
    pub fn new(marks: &'a MarkBitmap<'a>, set: BlockSet) -> Self {
        Self { marking: Marking { marks, set }, words: StableMap::default() }
    }

    /// The addresses of the words by which a block was come to, a root's first; that is 0 where the
    /// root has no address. Empty: it was not reached.
    pub fn path_to(&self, block: usize) -> Vec<usize> {
        let mut path = Vec::new();
        let mut next = Some(block);
        while let Some(&at) = next.and_then(|block| self.words.get(&block)) {
            path.push(at);
            next = self.marking.marks.find(at);
        }
        path.reverse();
        path
    }
}

impl Enter for Parents<'_> {
    const WANTS_PLACE: bool = true;

    fn enter(&mut self, block: usize, at: usize) -> bool {
        let is_new = self.marking.enter(block, at);
        if is_new {
            self.words.insert(block, at);
        }
        is_new
    }
}

/// Goes through what can be reached.
pub struct Reach<'a, E> {
    graph: Graph<'a>,
    interior: Interior<'a>,
    enter: E,
    /// Found and not looked through yet.
    waiting: Vec<usize>,
    /// The next of these, on their way into the cache.
    ahead: [usize; AHEAD],
    next: usize,
    /// Words that may lead to blocks, not judged yet; 0: none.
    words: [usize; WORDS],
    /// Where these stand, if that is wanted.
    places: [usize; WORDS],
    next_word: usize,
}

impl<'a, E: Enter> Reach<'a, E> {
    /// One that has gone nowhere.
    pub const fn new(graph: Graph<'a>, interior: Interior<'a>, enter: E) -> Self {
        Self {
            graph,
            interior,
            enter,
            waiting: Vec::new(),
            ahead: [0; AHEAD],
            next: 0,
            words: [0; WORDS],
            places: [0; WORDS],
            next_word: 0,
        }
    }

    /// The set that decides which blocks are followed.
    pub fn into_enter(self) -> E {
        self.enter
    }

    /// Goes to what a word leads to, if that is a block. The word stands at `at`; 0: it has no
    /// address.
    pub fn word(&mut self, word: usize, at: usize) {
        if let Some(block) = self.graph.marks.follow(word) {
            self.led_to(block, word, at);
        }
    }

    /// The same, some words later.
    #[inline(always)]
    fn word_later(&mut self, word: usize, at: usize) {
        self.graph.marks.prefetch(word);
        let slot = self.next_word;
        self.next_word = (slot + 1) % WORDS;
        let (Some(word_at), Some(place_at)) = (self.words.get_mut(slot), self.places.get_mut(slot))
        else {
            return;
        };
        let word = core::mem::replace(word_at, word);
        let at = if E::WANTS_PLACE { core::mem::replace(place_at, at) } else { 0 };
        self.word(word, at);
    }

    /// Judges all words that wait for that.
    fn judge_words(&mut self) {
        let places = self.places;
        for (word, at) in core::mem::take(&mut self.words).into_iter().zip(places) {
            self.word(word, at);
        }
    }

    /// Goes to a block that a word leads to, if such a word counts.
    #[inline(always)]
    fn led_to(&mut self, block: usize, word: usize, at: usize) {
        let Graph { marks, reader } = self.graph;
        match self.interior {
            Interior::Strict(constants)
                if !interior_pointers::counts(marks, reader, constants, block, word) => {}
            _ => self.block(block, at),
        }
    }

    /// Goes to a live block, to which the word at `at` leads; 0: none does.
    #[inline(always)]
    pub fn block(&mut self, block: usize, at: usize) {
        if self.enter.enter(block, at) {
            self.waiting.push(block);
        }
    }

    /// Goes to what the words in `[start, end)` lead to, which are so present.
    pub fn range(&mut self, start: usize, end: usize, presence: Presence) {
        let (window, reader) = (self.graph.marks.window(), self.graph.reader);
        let _ = reader.words((start, end, presence), window, |at, word| {
            self.word_later(word, at);
            ControlFlow::Continue(())
        });
    }

    /// Goes on from all blocks that were entered until nothing new comes.
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
                let graph = self.graph;
                graph.for_each_word(block, |at, word| self.word_later(word, at));
            } else if fresh.is_none() && self.ahead.iter().all(|&block| block == 0) {
                self.judge_words();
                if self.waiting.is_empty() {
                    return;
                }
            }
        }
    }
}
