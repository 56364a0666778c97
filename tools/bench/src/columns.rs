//! The ways to run a program: under glibc's malloc, under mallocop, under its peers.

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::libraries;

/// Who a column belongs to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Group {
    /// What all others are compared with.
    Base,
    /// mallocop.
    Own,
    /// Peers that cost about as much as glibc's malloc.
    Light,
    /// Peers that cost so much that they get few runs.
    Heavy,
}

/// What is put before or under the program.
enum Means {
    Nothing,
    Mallocop,
    /// The first of these libraries that is there is preloaded.
    Library(&'static [Place]),
    /// A program that runs the program, and its arguments.
    Wrapper(&'static str, &'static [&'static str]),
}

/// Where to look for a library.
enum Place {
    /// Under this name in the linker's cache.
    Cache(&'static str),
    /// By this pattern.
    Pattern(&'static str),
}

/// A column of the tables, present or not.
pub(crate) struct Entry {
    /// Its name for `--columns` and in the CSV file.
    pub(crate) name: &'static str,
    /// Its name in the tables.
    pub(crate) title: &'static str,
    /// What is measured.
    pub(crate) about: &'static str,
    pub(crate) group: Group,
    means: Means,
    environment: &'static [(&'static str, &'static str)],
}

use Means::{Library, Mallocop, Nothing, Wrapper};
use Place::{Cache, Pattern};

/// All of them, the one to compare with first.
pub(crate) const TABLE: [Entry; 21] = [
    Entry {
        name: "glibc",
        title: "glibc",
        about: "glibc's malloc",
        group: Group::Base,
        means: Nothing,
        environment: &[],
    },
    Entry {
        name: "checks-off",
        title: "checks off",
        about: "mallocop, checks=none:malloc_context_size=0, no leak check",
        group: Group::Own,
        means: Mallocop,
        environment: &[(
            "MALLOCOP_OPTIONS",
            "checks=none:malloc_context_size=0:detect_leaks=0:quiet=1",
        )],
    },
    Entry {
        name: "checks",
        title: "all checks, no stacks",
        about: "mallocop, malloc_context_size=0, no leak check",
        group: Group::Own,
        means: Mallocop,
        environment: &[("MALLOCOP_OPTIONS", "malloc_context_size=0:detect_leaks=0:quiet=1")],
    },
    Entry {
        name: "everything",
        title: "everything",
        about: "mallocop, all checks and full stacks: malloc_context_size=256, no leak check",
        group: Group::Own,
        means: Mallocop,
        environment: &[("MALLOCOP_OPTIONS", "malloc_context_size=256:detect_leaks=0:quiet=1")],
    },
    Entry {
        name: "guard-off",
        title: "no guards",
        about: "the same without guard pages: guard=off",
        group: Group::Own,
        means: Mallocop,
        environment: &[(
            "MALLOCOP_OPTIONS",
            "malloc_context_size=256:detect_leaks=0:quiet=1:guard=off",
        )],
    },
    Entry {
        name: "guard-all",
        title: "all guarded",
        about: "everything, with all blocks between guard pages: guard=all",
        group: Group::Own,
        means: Mallocop,
        environment: &[(
            "MALLOCOP_OPTIONS",
            "malloc_context_size=256:detect_leaks=0:quiet=1:guard=all",
        )],
    },
    Entry {
        name: "leaks",
        title: "everything, leak check",
        about: "the same, and leaks looked for at exit: detect_leaks=1:exitcode=0",
        group: Group::Own,
        means: Mallocop,
        environment: &[("MALLOCOP_OPTIONS", "malloc_context_size=256:exitcode=0:quiet=1")],
    },
    Entry {
        name: "jemalloc",
        title: "jemalloc",
        about: "preloaded",
        group: Group::Light,
        means: Library(&[Cache("libjemalloc.so")]),
        environment: &[],
    },
    Entry {
        name: "mimalloc",
        title: "mimalloc",
        about: "preloaded",
        group: Group::Light,
        means: Library(&[Cache("libmimalloc.so")]),
        environment: &[],
    },
    Entry {
        name: "mimalloc-guarded",
        title: "mimalloc, guarded",
        about: "built with MI_GUARDED, preloaded: a guard page behind every block up to 1 MiB",
        group: Group::Heavy,
        means: Library(&[Cache("libmimalloc-guarded.so")]),
        environment: &[
            ("MIMALLOC_GUARDED_SAMPLE_RATE", "1"),
            ("MIMALLOC_GUARDED_MAX", "1048576"),
            ("MIMALLOC_GUARDED_PRECISE", "0"),
        ],
    },
    Entry {
        name: "tcmalloc",
        title: "tcmalloc",
        about: "gperftools' libtcmalloc_minimal, preloaded",
        group: Group::Light,
        means: Library(&[Cache("libtcmalloc_minimal.so")]),
        environment: &[],
    },
    Entry {
        name: "scudo",
        title: "scudo",
        about: "LLVM's standalone library, preloaded; its GWP-ASan guards one block in 5000",
        group: Group::Light,
        means: Library(&[
            Pattern("/usr/lib/llvm-*/lib/clang/*/lib/linux/libclang_rt.scudo_standalone-x86_64.so"),
            Pattern("/usr/lib/clang/*/lib/linux/libclang_rt.scudo_standalone-x86_64.so"),
        ]),
        environment: &[],
    },
    Entry {
        name: "efence",
        title: "Electric Fence",
        about: "preloaded: a guard page behind every block",
        group: Group::Heavy,
        means: Library(&[Cache("libefence.so.0"), Pattern("/usr/lib/libefence.so.0")]),
        environment: &[("EF_ALLOW_MALLOC_0", "1")],
    },
    Entry {
        name: "duma",
        title: "DUMA",
        about: "preloaded: a guard page behind every block",
        group: Group::Heavy,
        means: Library(&[Cache("libduma.so.0"), Pattern("/usr/lib/libduma.so.0")]),
        environment: &[("DUMA_ALLOW_MALLOC_0", "1")],
    },
    Entry {
        name: "dislocator",
        title: "libdislocator",
        about: "AFL++'s, preloaded: a guard page behind every block",
        group: Group::Heavy,
        means: Library(&[Pattern("/usr/lib/afl/libdislocator.so")]),
        // It counts freed memory as well.
        environment: &[("AFL_LD_LIMIT_MB", "16384")],
    },
    Entry {
        name: "asan",
        title: "ASan, short stacks",
        about: "libasan preloaded into programs built without it, the fast unwinder, stacks of 2 \
                frames, no leak check",
        group: Group::Heavy,
        means: Library(&[Cache("libasan.so")]),
        environment: &[("ASAN_OPTIONS", "detect_leaks=0:malloc_context_size=2")],
    },
    Entry {
        name: "asan-stacks",
        title: "ASan, real stacks",
        about: "the same, the unwinder that reads unwind tables, stacks of 30 frames",
        group: Group::Heavy,
        means: Library(&[Cache("libasan.so")]),
        environment: &[(
            "ASAN_OPTIONS",
            "detect_leaks=0:fast_unwind_on_malloc=0:malloc_context_size=30",
        )],
    },
    Entry {
        name: "lsan",
        title: "LSan, short stacks",
        about: "liblsan preloaded, the fast unwinder, stacks of 2 frames, no leak check at exit \
                (leak_check_at_exit=0: stacks are recorded all the same)",
        group: Group::Heavy,
        means: Library(&[Cache("liblsan.so")]),
        environment: &[("LSAN_OPTIONS", "leak_check_at_exit=0:malloc_context_size=2")],
    },
    Entry {
        name: "lsan-stacks",
        title: "LSan, real stacks",
        about: "the same, the unwinder that reads unwind tables, stacks of 30 frames",
        group: Group::Heavy,
        means: Library(&[Cache("liblsan.so")]),
        environment: &[(
            "LSAN_OPTIONS",
            "leak_check_at_exit=0:fast_unwind_on_malloc=0:malloc_context_size=30",
        )],
    },
    Entry {
        name: "heaptrack",
        title: "heaptrack",
        about: "its recorder alone, libheaptrack_preload, writing raw data to a file",
        group: Group::Heavy,
        means: Library(&[
            Pattern("/usr/lib/heaptrack/libheaptrack_preload.so"),
            Pattern("/usr/lib*/*/heaptrack/libheaptrack_preload.so"),
            Pattern("/usr/lib64/heaptrack/libheaptrack_preload.so"),
            Pattern("/usr/local/lib*/heaptrack/libheaptrack_preload.so"),
        ]),
        environment: &[("DUMP_HEAPTRACK_OUTPUT", "heaptrack.out")],
    },
    Entry {
        name: "valgrind",
        title: "valgrind",
        about: "memcheck, no leak check",
        group: Group::Heavy,
        // Threads take turns fairly, or a thread that spins keeps the other from going on.
        means: Wrapper(
            "valgrind",
            &["--tool=memcheck", "--leak-check=no", "--fair-sched=try", "--log-file=/dev/null"],
        ),
        environment: &[],
    },
];

/// Set from outside, these would change what is measured.
const CLEARED: [&str; 10] = [
    "LD_PRELOAD",
    "MALLOCOP_OPTIONS",
    "ASAN_OPTIONS",
    "LSAN_OPTIONS",
    "GLIBC_TUNABLES",
    "MALLOC_CONF",
    "MALLOC_ARENA_MAX",
    "MALLOC_CHECK_",
    "SCUDO_OPTIONS",
    "GWP_ASAN_OPTIONS",
];

/// A column that can be measured here.
pub(crate) struct Column {
    pub(crate) entry: &'static Entry,
    /// Of the peer; empty for glibc and mallocop.
    pub(crate) version: String,
    /// Whether three runs of it are enough: it is heavy, and was not asked for by its name.
    pub(crate) few_runs: bool,
    preload: Option<PathBuf>,
    wrapper: Vec<OsString>,
}

impl Entry {
    /// Looks for what the column needs; `mallocop` is our own library.
    pub(crate) fn find(&'static self, mallocop: &Path) -> Option<Column> {
        let mut column = Column {
            entry: self,
            version: String::new(),
            few_runs: false,
            preload: None,
            wrapper: Vec::new(),
        };
        match &self.means {
            Nothing => {}
            Mallocop => column.preload = Some(mallocop.to_owned()),
            Library(places) => {
                let library = places.iter().find_map(Place::find)?;
                column.version = libraries::version(&library);
                column.preload = Some(library);
            }
            Wrapper(program, arguments) => {
                let program = libraries::in_path(program)?;
                column.version = libraries::version(&program);
                column.wrapper.push(program.into());
                column.wrapper.extend(arguments.iter().map(OsString::from));
            }
        }
        Some(column)
    }
}

impl Place {
    fn find(&self) -> Option<PathBuf> {
        match self {
            Cache(name) => libraries::in_cache(name),
            Pattern(pattern) => libraries::matching(pattern),
        }
    }
}

impl Column {
    /// The command that runs a program so, in a folder; `also` is preloaded behind the column's own
    /// library. Nothing goes in or out.
    pub(crate) fn command(&self, program: &OsStr, folder: &Path, also: Option<&str>) -> Command {
        let mut words = self.wrapper.iter().map(OsString::as_os_str).chain([program]);
        let mut command = Command::new(words.next().unwrap_or(program));
        command.args(words).current_dir(folder);
        for name in CLEARED {
            command.env_remove(name);
        }
        let preload: Vec<OsString> = self
            .preload
            .iter()
            .map(|library| library.clone().into_os_string())
            .chain(also.map(OsString::from))
            .collect();
        if !preload.is_empty() {
            command.env("LD_PRELOAD", preload.join(OsStr::new(":")));
        }
        command.envs(self.entry.environment.iter().copied());
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        command
    }

    /// Whether a run of it may take long.
    pub(crate) fn is_heavy(&self) -> bool {
        self.entry.group == Group::Heavy
    }

    /// Its name in the tables; columns of few runs are marked.
    pub(crate) fn head(&self) -> String {
        format!("{}{}", self.entry.title, if self.few_runs { " *" } else { "" })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique_and_glibc_is_first() {
        let mut names: Vec<&str> = TABLE.iter().map(|entry| entry.name).collect();
        assert_eq!(names.first(), Some(&"glibc"));
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), TABLE.len());
    }

    #[test]
    fn a_command_has_the_columns_library_before_the_programs() {
        let column = TABLE[2].find(Path::new("/x/libmallocop.so")).unwrap();
        let command = column.command(OsStr::new("redis"), Path::new("/"), Some("libc.so.6"));
        let value = |name| {
            command.get_envs().find(|(this, _)| *this == OsStr::new(name)).and_then(|(_, v)| v)
        };
        assert_eq!(value("LD_PRELOAD"), Some(OsStr::new("/x/libmallocop.so:libc.so.6")));
        assert_eq!(
            value("MALLOCOP_OPTIONS"),
            Some(OsStr::new("malloc_context_size=0:detect_leaks=0:quiet=1"))
        );
        assert_eq!(value("ASAN_OPTIONS"), None);
    }
}
