//! A deadly signal, explained: what the thread did, and what is known of the address and of the
//! registers.

use serde::{Deserialize, Serialize};

use super::block::Block;
use super::finding::{Life, Location};
use super::signal;
use super::site::ProcessSite;
use super::stack::Module;

/// The access that the instruction made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Access {
    /// It read there.
    Read,
    /// It wrote there.
    Write,
    /// It was to go on there.
    Jump,
    /// The kernel does not say, and the instruction is not known.
    Unknown,
}

/// A value that was used as an address, as far as it is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Value {
    /// So many bytes from a null pointer.
    NearNull(usize),
    /// Below the end of the thread's stack: there is no room left.
    StackEnd,
    /// Memory, or none, as the location says.
    At(Location),
}

/// A value with the block that explains it.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct Explained<S = ProcessSite> {
    /// The value itself.
    pub word: usize,
    /// Its explanation.
    pub value: Value,
    /// The block that the location speaks of.
    pub block: Option<Block<S>>,
}

/// Another thread, and its stack.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct OtherThread<S = ProcessSite> {
    /// Its kernel id.
    pub tid: u32,
    /// Its name.
    pub name: String,
    /// Its stack.
    pub site: S,
}

/// A deadly signal that a process has got.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct FaultReport<S = ProcessSite> {
    /// The process.
    pub pid: u32,
    /// The signal's number (signal(7)).
    pub signal: i32,
    /// The kernel's reason (sigaction(2), si_code).
    pub code: i32,
    /// The process that has sent it; 0: an instruction has raised it.
    pub sender: u32,
    /// The access that the instruction made.
    pub access: Access,
    /// The address that it did it to, if there is one, and what is known of it.
    pub address: Option<Explained<S>>,
    /// The register that the address came from, by its place in [`REGISTERS`].
    pub base: Option<u8>,
    /// Registers, by their places in [`REGISTERS`], whose values are known to be something.
    pub registers: Vec<(u8, Explained<S>)>,
    /// Is the instruction one of this library's own?
    pub is_own: bool,
    /// The thread's number; `None`: it has none.
    pub thread: Option<u16>,
    /// Its name.
    pub thread_name: String,
    /// Its stack.
    pub site: S,
    /// Frames of the whole stack.
    pub depth: u32,
    /// Names of threads by their numbers.
    pub threads: Vec<(u16, String)>,
    /// The other threads, with their stacks.
    pub others: Vec<OtherThread<S>>,
    /// Threads that could not be looked at.
    pub unseen: u32,
    /// The file that the address's memory belongs to.
    pub module: Option<Module>,
}

/// AddressSanitizer's and MemorySanitizer's names of errors.
const AFTER_FREE: &str = "heap-use-after-free";
const UNINITIALIZED: &str = "use-of-uninitialized-value";

/// Names of the general registers, in the kernel's order (asm/sigcontext.h).
pub const REGISTERS: [&str; 16] = [
    "r8", "r9", "r10", "r11", "r12", "r13", "r14", "r15", "rdi", "rsi", "rbp", "rbx", "rdx", "rax",
    "rcx", "rsp",
];

impl<S> Explained<S> {
    /// Translates the sites.
    pub fn map_sites<T>(self, site: &mut impl FnMut(S) -> T) -> Explained<T> {
        Explained {
            word: self.word,
            value: self.value,
            block: self.block.map(|block| block.map_sites(site)),
        }
    }
}

impl<S> FaultReport<S> {
    /// Stable name of its class; AddressSanitizer's where it has one.
    pub fn id(&self) -> &'static str {
        let Some(address) = &self.address else { return signal::class(self.signal) };
        let is_freed = address.block.as_ref().is_some_and(|block| block.life == Life::Freed);
        match address.value {
            Value::StackEnd => "stack-overflow",
            Value::At(Location::FillOf(_)) => UNINITIALIZED,
            Value::At(Location::PoisonOf(_)) => AFTER_FREE,
            Value::At(_) if is_freed => AFTER_FREE,
            _ => signal::class(self.signal),
        }
    }

    /// Is it beyond doubt that the program has used memory that is not its own?
    pub fn is_heap_error(&self) -> bool {
        matches!(self.id(), AFTER_FREE | UNINITIALIZED)
    }

    /// Did an instruction raise it, not a process?
    pub const fn is_raised(&self) -> bool {
        self.code > 0
    }

    /// The name of a thread by its number, if it has one.
    pub fn thread_name(&self, number: u16) -> Option<&str> {
        let known = self.threads.iter().find(|(known, _)| *known == number);
        known.map(|(_, name)| name.as_str())
    }

    /// Translates the report's sites.
    pub fn map_sites<T>(self, site: &mut impl FnMut(S) -> T) -> FaultReport<T> {
        let registers = self.registers.into_iter();
        let registers = registers.map(|(at, value)| (at, value.map_sites(site))).collect();
        let others = self.others.into_iter();
        let others = others.map(|OtherThread { tid, name, site: known }| OtherThread {
            tid,
            name,
            site: site(known),
        });
        let others = others.collect();
        FaultReport {
            pid: self.pid,
            signal: self.signal,
            code: self.code,
            sender: self.sender,
            access: self.access,
            address: self.address.map(|address| address.map_sites(site)),
            base: self.base,
            registers,
            is_own: self.is_own,
            thread: self.thread,
            thread_name: self.thread_name,
            site: site(self.site),
            depth: self.depth,
            threads: self.threads,
            others,
            unseen: self.unseen,
            module: self.module,
        }
    }

    /// Every site that it names.
    pub fn sites(&self) -> impl Iterator<Item = S>
    where
        S: Copy,
    {
        let values = self.address.iter().chain(self.registers.iter().map(|(_, value)| value));
        let of_value = |value: &Explained<S>| {
            let block = value.block.iter();
            block.flat_map(|block| [block.site, block.free_site]).collect::<Vec<_>>()
        };
        let others = self.others.iter().map(|other| other.site);
        [self.site].into_iter().chain(values.flat_map(of_value)).chain(others)
    }
}
