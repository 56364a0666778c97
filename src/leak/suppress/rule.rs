//! A rule: which leaks it is for, how many it may hide, until when, and why.

use super::limits::Limits;
use super::pattern::Pattern;
use crate::model::leak_report::Loss;

/// The names of one frame of a stack.
#[derive(Clone, Copy, Debug, Default)]
pub struct FrameNames<'a> {
    /// Function as a reader sees it.
    pub function: Option<&'a str>,
    /// Function as it stands in the file.
    pub symbol: Option<&'a str>,
    /// Source file.
    pub file: Option<&'a str>,
    /// Line in it.
    pub line: u32,
    /// Path of the module.
    pub module: Option<&'a str>,
}

/// A stack, innermost frame first.
pub type StackNames<'a> = [FrameNames<'a>];

/// What of a frame a Valgrind rule looks at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Line {
    Function(Pattern),
    Object(Pattern),
    Source(Pattern, Option<u32>),
    /// Any number of frames.
    Ellipsis,
}

/// Which stacks a rule is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Scope {
    /// With a frame whose function, file or module it fits.
    Anywhere(Pattern),
    /// That begin with these frames.
    From(Vec<Line>),
}

/// A rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Suppression {
    /// File it is from, and the line there, from 1.
    pub place: (String, usize),
    /// As it is written, or its name.
    pub text: String,
    /// Why it is there.
    pub reason: Option<String>,
    /// What it may hide.
    pub limits: Limits,
    pub(super) scope: Scope,
    /// How a leak has to be lost; empty: in any way.
    pub(super) losses: Vec<Loss>,
}

impl Suppression {
    /// Is the rule for such a leak?
    pub fn matches(&self, stack: &StackNames<'_>, loss: Loss) -> bool {
        if !self.losses.is_empty() && !self.losses.contains(&loss) {
            return false;
        }
        match &self.scope {
            Scope::Anywhere(pattern) => stack.iter().any(|frame| {
                let names = [frame.function, frame.symbol, frame.file, frame.module];
                names.into_iter().flatten().any(|name| pattern.matches(name))
            }),
            Scope::From(lines) => {
                // Valgrind's stacks begin with the allocating function itself, ours with its
                // caller.
                let behind_allocator = match lines.first() {
                    Some(Line::Function(pattern)) => {
                        ALLOCATORS.iter().any(|name| pattern.matches(name)).then(|| lines.get(1..))
                    }
                    Some(Line::Object(pattern)) => {
                        pattern.matches(VALGRINDS).then(|| lines.get(1..))
                    }
                    _ => None,
                };
                begins_with(stack, lines)
                    || behind_allocator.flatten().is_some_and(|rest| begins_with(stack, rest))
            }
        }
    }
}

/// Names under which blocks are allocated.
const ALLOCATORS: [&str; 10] = [
    "malloc",
    "calloc",
    "realloc",
    "memalign",
    "posix_memalign",
    "aligned_alloc",
    "_Znwm",
    "_Znam",
    "_ZnwmSt11align_val_t",
    "_ZnamSt11align_val_t",
];
/// The module in which Valgrind has them.
const VALGRINDS: &str = "/usr/libexec/valgrind/vgpreload_memcheck-amd64-linux.so";

/// Do the first frames fit these lines, one by one? Time of their product at most.
fn begins_with(stack: &StackNames<'_>, lines: &[Line]) -> bool {
    let (mut line, mut at) = (0, 0);
    let mut retry = None;
    loop {
        match lines.get(line) {
            None => return true,
            Some(Line::Ellipsis) => {
                retry = Some((line, at));
                line += 1;
            }
            Some(wanted) if stack.get(at).is_some_and(|frame| wanted.fits(frame)) => {
                (line, at) = (line + 1, at + 1);
            }
            Some(_) => match retry {
                Some((ellipsis, from)) if from < stack.len() => {
                    retry = Some((ellipsis, from + 1));
                    (line, at) = (ellipsis + 1, from + 1);
                }
                _ => return false,
            },
        }
    }
}

impl Line {
    fn fits(&self, frame: &FrameNames<'_>) -> bool {
        let fits =
            |pattern: &Pattern, name: Option<&str>| name.is_some_and(|name| pattern.matches(name));
        match self {
            Self::Function(pattern) => fits(pattern, frame.symbol) || fits(pattern, frame.function),
            Self::Object(pattern) => fits(pattern, frame.module),
            Self::Source(pattern, line) => {
                let name = frame.file.map(|file| file.rsplit('/').next().unwrap_or(file));
                fits(pattern, name) && line.is_none_or(|line| line == frame.line)
            }
            Self::Ellipsis => true,
        }
    }
}
