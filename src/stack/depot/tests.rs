use super::node_index::slots_for;
use super::*;

/// A stack of given pcs, innermost first, as tests write them.
struct Given<'a> {
    pcs: &'a [usize],
    ending: StackEnd,
}

impl<'a> Given<'a> {
    fn new(pcs: &'a [usize]) -> Self {
        Self { pcs, ending: StackEnd::Whole }
    }
}

impl FrameSource for Given<'_> {
    fn depth(&self) -> usize {
        self.pcs.len()
    }

    fn pc(&self, index: usize) -> usize {
        self.pcs[self.pcs.len() - 1 - index]
    }

    fn hash(&self, index: usize) -> u64 {
        let start = self.ending as u64 + 1;
        (0..=index).fold(start, |hash, index| {
            (hash.rotate_left(23) ^ self.pc(index) as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15)
        })
    }

    fn ending(&self) -> StackEnd {
        self.ending
    }
}

fn pcs_of(depot: &Depot, site: ProcessSite) -> Vec<usize> {
    depot.frames(site).map(StoredFrame::pc).collect()
}

fn depot(limit: u32) -> Box<Depot> {
    Box::new(Depot::new(limit))
}

#[test]
fn equal_stacks_share_a_site_and_come_back_whole() {
    let depot = depot(1 << 20);
    let pcs: Vec<usize> = (1..100).map(|i| i * 0x1111).collect();
    let site = depot.intern(&Given::new(&pcs));
    assert_ne!(site, ProcessSite::NONE);
    assert_eq!(depot.intern(&Given::new(&pcs)), site);
    assert_eq!(pcs_of(&depot, site), pcs);
    // Its callers' stack was stored with it, and costs nothing more.
    let before = depot.next.load(Ordering::Relaxed);
    assert_ne!(depot.intern(&Given::new(&pcs[1..])), site);
    assert_eq!(depot.next.load(Ordering::Relaxed), before);
    assert_eq!(depot.intern(&Given::new(&[])), ProcessSite::NONE);
    assert_eq!(depot.frames(ProcessSite::NONE).count(), 0);
}

#[test]
fn stacks_that_end_otherwise_are_others() {
    let depot = depot(1 << 20);
    let pcs = [0x10, 0x20 | EXACT, 0x30 | GUESSED, 0x40];
    let site = |ending| depot.intern(&Given { ending, ..Given::new(&pcs) });
    let sites =
        [StackEnd::Whole, StackEnd::Lost, StackEnd::Cut].map(|ending| (site(ending), ending));
    for (site, ending) in sites {
        let frames: Vec<_> = depot.frames(site).collect();
        assert_eq!(frames.iter().map(|frame| frame.pc()).collect::<Vec<_>>(), [16, 32, 48, 64]);
        assert_eq!(frames.last().map(|frame| frame.ending()), Some(ending));
        assert!(frames[1].is_exact() && frames[2].is_guessed() && !frames[0].is_exact());
    }
    assert!(sites[0].0 != sites[1].0 && sites[1].0 != sites[2].0 && sites[0].0 != sites[2].0);
}

#[test]
fn a_full_depot_gives_the_nearest_stored_ancestor() {
    let depot = depot(4);
    let site = depot.intern(&Given::new(&[3, 2, 1]));
    assert_eq!(pcs_of(&depot, site), [3, 2, 1]);
    let folded = depot.intern(&Given::new(&[9, 8, 2, 1]));
    assert_eq!(pcs_of(&depot, folded), [8, 2, 1]);
    let folded = depot.intern(&Given::new(&[7, 8, 2, 1]));
    assert_eq!(pcs_of(&depot, folded), [8, 2, 1]);
    assert_eq!(depot.folded.load(Ordering::Relaxed), 2);
    assert_eq!(depot.intern(&Given::new(&[3, 2, 1])), site);
}

#[test]
fn a_slot_that_nobody_fills_is_passed_by() {
    let depot = depot(1 << 20);
    let hash = Given::new(&[1]).hash(0);
    depot.intern(&Given::new(&[5]));
    slots_for(depot.parts.table(0).expect("made"), hash)
        .find(|slot| slot.hash.load(Ordering::Relaxed) == 0)
        .expect("a free slot")
        .hash
        .store(hash, Ordering::Relaxed);
    let site = depot.intern(&Given::new(&[1]));
    assert_eq!(pcs_of(&depot, site), [1]);
    assert_eq!(depot.intern(&Given::new(&[1])), site);
}

#[test]
fn threads_agree_on_a_hundred_thousand_stacks() {
    let depot = depot(1 << 24);
    let work = || {
        (0..100_000usize)
            .map(|i| depot.intern(&Given::new(&[i * 16 + 1, i ^ 0x5555, 0x40_0000, i % 7 + 1])))
            .collect::<Vec<_>>()
    };
    let (one, two) = std::thread::scope(|scope| {
        let (one, two) = (scope.spawn(work), scope.spawn(work));
        (one.join().expect("no panic"), two.join().expect("no panic"))
    });
    for sites in [&one, &two] {
        for (i, &site) in sites.iter().enumerate() {
            assert_eq!(pcs_of(&depot, site), [i * 16 + 1, i ^ 0x5555, 0x40_0000, i % 7 + 1]);
        }
    }
    // A stack that one thread stores while the other is kept from it for long may be there twice.
    let twice = one.iter().zip(&two).filter(|(one, two)| one != two).count();
    assert!(twice < 100, "{twice} stacks are there twice");
    assert_eq!(depot.folded.load(Ordering::Relaxed), 0);
}
