//! Operations on the checked heap, errors planted in it, and the findings expected for them; what is
//! demanded is told in [`checked_ops`](crate::checked_ops).

use std::collections::{BTreeMap, VecDeque};
use std::ptr::NonNull;
use std::sync::{Mutex, MutexGuard, Once, PoisonError};

use mallocop::debug::{CheckedHeap, Release, Request};
use mallocop::finding::{Defect, Finding, Kind, Operation};
use mallocop::stack::modules;
use mallocop::{options, sys};

use crate::checked_script::{Step, right_call};
use crate::model::Model;
use crate::tally::Tally;

static HEAP: CheckedHeap = CheckedHeap::new(|finding| {
    FOUND.lock().unwrap_or_else(PoisonError::into_inner).push(*finding);
});
static FOUND: Mutex<Vec<Finding>> = Mutex::new(Vec::new());
/// Held while a script is played: there is one heap.
static PLAYING: Mutex<()> = Mutex::new(());
static PREPARED: Once = Once::new();

const OPTIONS: &str = "malloc_context_size=0:mmap_threshold=131072";
const KINDS: [Kind; 6] = [
    Kind::Malloc,
    Kind::Memalign,
    Kind::New,
    Kind::NewArray,
    Kind::AlignedNew,
    Kind::AlignedNewArray,
];
/// Of what was freed so much waits for certain, with what each block costs beyond its size.
const CERTAIN_BYTES: usize = 24 << 10;
const OVERHEAD: usize = 64;
const MOST_LIVE: usize = 400;

/// A block that waits for certain.
struct Freed {
    user: usize,
    size: usize,
    written: bool,
}

/// The checked heap, the model of it, and what was done so far.
pub(crate) struct CheckedPlayer {
    model: Model,
    /// Kind, and alignment where that is known.
    kinds: BTreeMap<usize, (Kind, Option<usize>)>,
    /// Those freed last, the oldest first.
    freed: VecDeque<Freed>,
    /// Late writes that were not found yet: block, offset, size.
    late: Vec<(usize, isize)>,
    /// The block with damage round it: defect, first and last changed byte.
    damaged: Option<(usize, Defect, isize, isize)>,
    pub(crate) tally: Tally,
    _alone: MutexGuard<'static, ()>,
}

impl CheckedPlayer {
    pub(crate) fn new() -> Self {
        let alone = PLAYING.lock().unwrap_or_else(PoisonError::into_inner);
        PREPARED.call_once(|| {
            options::apply(OPTIONS, |why| panic!("{why}"));
            // This program is all of the tool's: no module of it hides a C++ runtime.
            modules::set_own(0, usize::MAX);
            HEAP.prepare();
        });
        found();
        Self {
            model: Model::default(),
            kinds: BTreeMap::new(),
            freed: VecDeque::new(),
            late: Vec::new(),
            damaged: None,
            tally: Tally::default(),
            _alone: alone,
        }
    }

    pub(crate) fn play(&mut self, step: Step) {
        match step {
            Step::Allocate(kind, shape, size, align) => self.allocate(kind, shape, size, align),
            Step::Free(pick) => self.with(pick, |this, index| this.free(index, None)),
            Step::FreeBy(pick, call, wrong) => {
                self.with(pick, |this, index| this.free(index, Some((call, wrong))));
            }
            Step::Resize(pick, size) => {
                self.with(pick, |this, index| this.resize(index, 1 + usize::from(size)));
            }
            Step::Trim => {
                HEAP.trim(0);
                self.freed.clear();
                self.demand(None);
                assert!(self.late.is_empty(), "not found as they left: {:x?}", self.late);
                self.tally.count("trimmed");
            }
            Step::Check => self.check(),
            Step::Overrun(pick, skip, count, change) => self.with(pick, |this, index| {
                let (skip, change) = (isize::from(skip % 8), change | 1);
                let last = skip + isize::from(count) % (8 - skip);
                let size = this.model.live()[index].size as isize;
                this.damage(index, Defect::Overflow, size + skip, size + last, change);
            }),
            Step::Underrun(pick, count, change) => self.with(pick, |this, index| {
                let first = -1 - isize::from(count % 6);
                this.damage(index, Defect::Underflow, first, -1, change | 1);
            }),
            Step::LateWrite(pick, at, change) => self.write_late(pick, at, change | 1),
            Step::FreeAgain(pick) => {
                let Some(at) = usize::from(pick).checked_rem(self.freed.len()) else { return };
                let user = self.freed[at].user;
                self.misfree(user, Defect::DoubleFree, Some(user));
                self.tally.count("freed again");
            }
            Step::FreeInside(pick, at) => self.with(pick, |this, index| {
                let block = this.model.live()[index];
                if block.size > 1 && this.damaged.is_none() {
                    let inside = block.address() + 1 + usize::from(at) % (block.size - 1);
                    this.misfree(inside, Defect::BadFree, Some(block.address()));
                    this.tally.count("freed inside");
                }
            }),
            Step::FreeWild(which) => {
                let local = 0u8;
                let here = std::ptr::from_ref(std::hint::black_box(&local)) as usize;
                let address = match which % 3 {
                    0 => here,
                    1 => 16 + usize::from(which) * 8,
                    _ => 0xdead_0000_0000_0000 | usize::from(which),
                };
                self.misfree(address, Defect::BadFree, None);
                self.tally.count("freed wild");
            }
        }
    }

    fn with(&mut self, pick: u16, act: impl FnOnce(&mut Self, usize)) {
        if let Some(index) = self.model.index(pick) {
            act(self, index);
        }
    }

    fn allocate(&mut self, kind: u8, shape: u8, size: u16, align: u8) {
        if self.model.live().len() == MOST_LIVE {
            return;
        }
        let kind = KINDS[usize::from(kind) % KINDS.len()];
        let aligned = matches!(kind, Kind::Memalign | Kind::AlignedNew | Kind::AlignedNewArray);
        let align = if aligned { 16 << (align % 9) } else { 16 };
        let size = match shape % 32 {
            0..=19 => usize::from(size) % 300,
            20..=29 => usize::from(size) % 8192,
            30 => usize::from(size),
            _ => (100 << 10) + 4 * usize::from(size),
        };
        let zeroed = kind == Kind::Malloc && shape >= 128;
        let request = Request { size, align, kind, zeroed };
        let block = HEAP.allocate_quickly(request);
        let block = block.map_or_else(|| HEAP.allocate(request), NonNull::as_ptr);
        let user = NonNull::new(block).expect("memory");
        assert_eq!(block as usize % align, 0);
        self.demand(None);
        if zeroed {
            // SAFETY: the heap has just handed out these bytes.
            let bytes = unsafe { std::slice::from_raw_parts(block, size) };
            assert!(bytes.iter().all(|&byte| byte == 0), "calloc of {size} bytes");
        }
        assert_eq!(HEAP.usable_size(block as usize), size);
        // SAFETY: as above.
        unsafe { self.model.insert(user, size, align) };
        self.kinds.insert(block as usize, (kind, Some(align)));
        self.tally.count(if size > 128 << 10 { "mapped" } else { "allocated" });
    }

    fn free(&mut self, index: usize, wrong: Option<(u8, bool)>) {
        let block = self.model.remove(index);
        let user = block.address();
        let (kind, align) = self.kinds.remove(&user).expect("a known block");
        let mut release = Release::by(right_call(kind));
        if let Some((call, wrong_size)) = wrong {
            release.operation = match usize::from(call) % 7 {
                6 => Operation::FreeSized,
                5 => Operation::Free,
                other => Operation::Delete(KINDS[2 + other % 4]),
            };
            release.size = Some(block.size + usize::from(wrong_size));
        } else if align.is_some() && !matches!(release.operation, Operation::Free) {
            release.align = align;
            release.size = Some(block.size);
        }
        let mut expected: Vec<_> = self.mended(user).into_iter().collect();
        let unfit = unfit(kind, block.size, &release);
        if unfit.is_some() {
            self.tally.count("wrong call");
        }
        expected.extend(unfit.map(|defect| (user, defect)));
        if !HEAP.free_quickly(user, &release) {
            HEAP.free(user, &release);
        }
        self.demand_all(&expected, release.operation);
        self.note_freed(user, block.size, block.align);
        self.tally.count("freed");
    }

    /// The finding that damage round a block must bring now that it is taken, if it has any.
    fn mended(&mut self, user: usize) -> Option<(usize, Defect)> {
        self.damaged.take_if(|damaged| damaged.0 == user).map(|(user, defect, ..)| (user, defect))
    }

    fn note_freed(&mut self, user: usize, size: usize, align: usize) {
        // Those with a mapping of their own do not wait as others do.
        if size <= 8192 && align <= 4096 {
            self.freed.push_back(Freed { user, size, written: false });
        } else {
            self.freed.clear();
        }
        let cost =
            |freed: &VecDeque<Freed>| -> usize { freed.iter().map(|f| f.size + OVERHEAD).sum() };
        while cost(&self.freed) > CERTAIN_BYTES {
            self.freed.pop_front();
        }
    }

    fn resize(&mut self, index: usize, size: usize) {
        let old = self.model.live()[index];
        let user = old.address();
        let (kind, _) = self.kinds.remove(&user).expect("a known block");
        let mut expected: Vec<_> = self.mended(user).into_iter().collect();
        if !matches!(kind, Kind::Malloc | Kind::Memalign) {
            expected.push((user, Defect::Mismatch));
        }
        let at = NonNull::new(HEAP.resize(user, size)).expect("memory");
        self.demand_all(&expected, Operation::Realloc);
        assert_eq!(HEAP.usable_size(at.as_ptr() as usize), size);
        // SAFETY: the heap says that `size` bytes are there now.
        unsafe { self.model.moved(index, at, size) };
        self.kinds.insert(at.as_ptr() as usize, (Kind::Malloc, None));
        if at != old.at {
            self.note_freed(user, old.size, old.align);
        }
        self.tally.count("resized");
    }

    fn damage(&mut self, index: usize, defect: Defect, first: isize, last: isize, change: u8) {
        if self.damaged.is_some() {
            return;
        }
        let user = self.model.live()[index].address();
        for offset in first..=last {
            let at = user.wrapping_add_signed(offset) as *mut u8;
            // SAFETY: the canaries round a block are mapped; that they are written over is the test.
            unsafe { at.write(at.read() ^ change) };
        }
        self.damaged = Some((user, defect, first, last));
        self.tally.count("damaged");
    }

    fn write_late(&mut self, pick: u16, at: u16, change: u8) {
        let Some(index) = usize::from(pick).checked_rem(self.freed.len()) else { return };
        let freed = &mut self.freed[index];
        let Some(offset) = usize::from(at).checked_rem(freed.size) else { return };
        if std::mem::replace(&mut freed.written, true) {
            return;
        }
        let at = (freed.user + offset) as *mut u8;
        // SAFETY: the block waits, its memory is mapped; that it is written to is the test.
        unsafe { at.write(at.read() ^ change) };
        self.late.push((freed.user, offset as isize));
        self.tally.count("written late");
    }

    fn misfree(&mut self, address: usize, defect: Defect, about: Option<usize>) {
        let release = Release::by(Operation::Free);
        if !HEAP.free_quickly(address, &release) {
            HEAP.free(address, &release);
        }
        let findings = self.without_late(found());
        let [finding] = findings[..] else { panic!("{address:#x}: {findings:#x?}") };
        assert_eq!((finding.defect, finding.pointer), (defect, address), "{finding:#x?}");
        assert_eq!(finding.block.map(|block| block.user), about, "{finding:#x?}");
    }

    fn check(&mut self) {
        let work = sys::thread::ToolWork::begin();
        HEAP.freeze();
        let count = HEAP.check_all(Operation::Check);
        HEAP.thaw();
        drop(work);
        assert_eq!(count, self.late.len() + usize::from(self.damaged.is_some()));
        let expected = self.damaged;
        self.demand(expected.map(|(user, defect, ..)| (user, defect)));
        assert!(self.late.is_empty(), "not found: {:x?}", self.late);
        self.model.verify_all();
        self.tally.count("checked");
    }

    fn demand(&mut self, expected: Option<(usize, Defect)>) {
        self.demand_all(expected.as_slice(), Operation::Check);
    }

    /// Exactly these findings since the last look, but for late writes as their blocks left.
    fn demand_all(&mut self, expected: &[(usize, Defect)], operation: Operation) {
        let findings = self.without_late(found());
        let seen: Vec<_> = findings
            .iter()
            .map(|finding| (finding.block.map_or(0, |block| block.user), finding.defect))
            .collect();
        assert_eq!(seen, expected, "{findings:#x?}");
        for finding in findings {
            assert_eq!(finding.operation, operation);
        }
    }

    /// Takes out the findings of late writes, each of which is expected once.
    fn without_late(&mut self, findings: Vec<Finding>) -> Vec<Finding> {
        let late = &mut self.late;
        findings
            .into_iter()
            .filter(|finding| {
                let about = finding.block.map_or(0, |block| block.user);
                let is_late = |&(user, at): &(usize, isize)| {
                    user == about && finding.damage.is_some_and(|d| (d.first, d.changed) == (at, 1))
                };
                let index = late.iter().position(is_late);
                let expected = finding.defect == Defect::WriteAfterFree && index.is_some();
                if let Some(index) = index.filter(|_| expected) {
                    late.swap_remove(index);
                }
                !expected
            })
            .collect()
    }

    /// All is freed and every error found.
    pub(crate) fn end(&mut self) {
        self.check();
        while let Some(last) = self.model.live().len().checked_sub(1) {
            self.free(last, None);
        }
        self.check();
    }
}

/// The findings since the last call.
fn found() -> Vec<Finding> {
    std::mem::take(&mut *FOUND.lock().unwrap_or_else(PoisonError::into_inner))
}

/// What is wrong with such a release of such a block.
fn unfit(kind: Kind, size: usize, release: &Release) -> Option<Defect> {
    let family = |kind| match kind {
        Kind::Malloc | Kind::Memalign => 0,
        Kind::New | Kind::AlignedNew => 1,
        Kind::NewArray | Kind::AlignedNewArray => 2,
    };
    let (wanted, same) = match release.operation {
        Operation::Delete(by) => (family(by), by == kind),
        _ => (0, true),
    };
    if wanted != family(kind) {
        return Some(Defect::Mismatch);
    }
    let fits = same && release.size.is_none_or(|told| told == size);
    (!fits).then_some(Defect::DeleteMismatch { size: release.size, align: release.align })
}
