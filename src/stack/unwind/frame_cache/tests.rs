use std::cell::Cell;

use super::super::rule::{RuleKind, RuleParts, Saved, UnwindRule};
use super::*;

const STACK: usize = 0x7000_0000;
const CODE: usize = 0x10_0000;

/// A stack of words at [`STACK`], and rules for [`CODE`], `CODE + 16`, ...
struct Small {
    words: Vec<usize>,
    rules: Vec<UnwindRule>,
    lookups: Cell<usize>,
}

impl Small {
    fn new(words: usize, rules: &[UnwindRule]) -> Self {
        Self { words: vec![0; words], rules: rules.to_vec(), lookups: Cell::new(0) }
    }

    fn walk(&self, frame_cache: &mut FrameCache, start: CallFrame) -> Vec<usize> {
        self.lookups.set(0);
        frame_cache.walk(self, start);
        (0..frame_cache.depth()).rev().map(|index| (frame_cache.pc(index) - CODE) / 16).collect()
    }
}

impl Source for Small {
    fn rule(&self, pc: usize) -> UnwindRule {
        self.lookups.set(self.lookups.get() + 1);
        self.rules.get((pc - CODE) / 16).copied().unwrap_or(UnwindRule::UNKNOWN)
    }

    fn saved(&self, _pc: usize, _register: u16) -> Option<Saved> {
        None
    }

    fn nowhere(&self) -> usize {
        0
    }

    unsafe fn read(&self, address: usize) -> usize {
        if address == 0 {
            return 0;
        }
        self.words[(address - STACK) / 8]
    }

    fn is_readable(&self, from: usize, to: usize) -> bool {
        from >= STACK && to <= STACK + self.words.len() * 8
    }

    fn is_stack(&self, from: usize, to: usize) -> bool {
        self.is_readable(from, to)
    }

    fn limit(&self, sp: usize) -> usize {
        let end = STACK + self.words.len() * 8;
        if sp >= STACK && sp < end { end } else { usize::MAX }
    }
}

fn rule(kind: RuleKind, offset: i64, saved: Saved) -> UnwindRule {
    UnwindRule::of(RuleParts { kind, register: 7, offset, plus: 0, saved })
}

const fn function(number: usize) -> usize {
    CODE + number * 16
}

const fn at(word: usize) -> usize {
    STACK + word * 8
}

fn plain() -> UnwindRule {
    rule(RuleKind::Stack, 16, Saved::Same)
}

#[test]
fn what_is_unchanged_is_not_gone_through_again() {
    let mut small = Small::new(40, &[plain(), UnwindRule::END]);
    for call in 0..18 {
        small.words[call * 2 + 1] = function(0);
    }
    small.words[37] = function(1);
    let mut frame_cache = FrameCache::new();
    let start = CallFrame { pc: function(0), sp: at(0), fp: 0 };
    let whole = [vec![0; 19], vec![1]].concat();
    assert_eq!(small.walk(&mut frame_cache, start), whole);
    assert_eq!(small.lookups.get(), 20);
    assert_eq!(small.walk(&mut frame_cache, start), whole);
    assert_eq!(small.lookups.get(), 0);
    // One return address in the middle has changed: it is gone through up to there, and no further.
    small.rules.push(plain());
    small.words[9] = function(2);
    let mut changed = whole;
    changed[5] = 2;
    assert_eq!(small.walk(&mut frame_cache, start), changed);
    assert_eq!(small.lookups.get(), 6);
}

/// Found by unwind_rules.
#[test]
fn a_stack_that_ended_at_a_zero_goes_on_when_that_has_changed() {
    let mut small = Small::new(10, &[plain(), UnwindRule::END]);
    small.words[1] = function(0);
    let mut frame_cache = FrameCache::new();
    let start = CallFrame { pc: function(0), sp: at(0), fp: 0 };
    assert_eq!(small.walk(&mut frame_cache, start), [0, 0]);
    assert!(!frame_cache.is_lost());
    small.words[3] = function(1);
    assert_eq!(small.walk(&mut frame_cache, start), [0, 0, 1]);
    small.words[3] = function(9);
    assert_eq!(small.walk(&mut frame_cache, start), [0, 0, 9]);
    assert!(frame_cache.is_lost());
    small.rules.resize(9, UnwindRule::UNKNOWN);
    small.rules.push(UnwindRule::END);
    assert_eq!(small.walk(&mut frame_cache, start), [0, 0, 9]);
    assert!(!frame_cache.is_lost());
}

#[test]
fn rbp_is_verified_where_a_frame_further_out_goes_by_it_and_only_there() {
    // 0 saves rbp; 1 goes by rbp; 2 is the end, and so is 3.
    let saves = rule(RuleKind::Stack, 24, Saved::Cfa(-16));
    let framed = rule(RuleKind::Frame, 16, Saved::Same);
    let mut small = Small::new(20, &[saves, framed, UnwindRule::END, UnwindRule::END]);
    (small.words[1], small.words[2]) = (at(5), function(1));
    (small.words[6], small.words[9]) = (function(2), function(3));
    let mut frame_cache = FrameCache::new();
    let start = CallFrame { pc: function(0), sp: at(0), fp: 77 };
    assert_eq!(small.walk(&mut frame_cache, start), [0, 1, 2]);
    // The caller's rbp has changed, and with it where its caller is.
    small.words[1] = at(8);
    assert_eq!(small.walk(&mut frame_cache, start), [0, 1, 3]);
    // Nobody goes by the rbp of the start: another one is no reason to walk again.
    assert_eq!(small.walk(&mut frame_cache, CallFrame { fp: 78, ..start }), [0, 1, 3]);
    assert_eq!(small.lookups.get(), 0);
}

/// Found by unwind_rules.
#[test]
fn nothing_is_read_behind_a_frame_that_starts_where_the_stack_ends() {
    let mut small = Small::new(4, &[plain()]);
    (small.words[1], small.words[3]) = (function(0), function(0));
    let mut frame_cache = FrameCache::new();
    let start = CallFrame { pc: function(0), sp: at(0), fp: 0 };
    for _ in 0..2 {
        assert_eq!(small.walk(&mut frame_cache, start), [0, 0, 0]);
        assert!(frame_cache.is_lost());
    }
}

#[test]
fn what_is_too_deep_is_lost() {
    let mut small = Small::new(140_000, &[rule(RuleKind::Stack, 8, Saved::Same)]);
    small.words.fill(function(0));
    let mut frame_cache = FrameCache::new();
    frame_cache.walk(&small, CallFrame { pc: function(0), sp: at(0), fp: 0 });
    assert!(frame_cache.is_lost());
    assert_eq!(frame_cache.depth(), super::super::frame_buffer::MOST);
    // A part of it that is not as deep is whole up to its end.
    small.words[139_999] = 0;
    frame_cache.walk(&small, CallFrame { pc: function(0), sp: at(139_900), fp: 0 });
    assert!(!frame_cache.is_lost());
    assert_eq!(frame_cache.depth(), 100);
}
