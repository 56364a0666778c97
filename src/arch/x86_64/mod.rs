//! x86-64, System V ABI (AMD64 supplement).

mod address;
mod entries;
mod fault_context;
mod handler_entry;
mod instruction;
mod mask;
mod memory;
#[cfg(test)]
mod operand_oracle;
mod operand_width;
mod prefixes;
mod record_on_stack;
mod recovery;
mod registers;
mod signal;
mod stack;
mod thread_slot;
mod vector;
mod vector_registers;
mod weak;

pub use address::{ADDRESS_BITS, ADDRESS_MASK};
pub use fault_context::{FaultContext, GENERAL, Touch};
pub use handler_entry::{Decide, ENTRIES, Onward, enter_handler, leave_handler};
pub use instruction::{Operand, memory_operand};
pub use memory::{Word, fill_with, find_word, is_word_load, prefetch, read_contended, word_fault};
pub use record_on_stack::RecordOnStack;
pub use recovery::{WayBack, call_with_way_back, landing};
pub use registers::{
    CallFrame, Caller, PRESERVED, Registers, SIGNAL_FP, SIGNAL_PC, SIGNAL_SP, note_registers,
    signal_register,
};
pub use signal::{restore_from_signal, system_call};
pub use stack::{call_on, fill_words, pointer_to_stack, wipe_below};
pub use thread_slot::{is_slot_relocated, slot_address, slot_offset, thread_pointer};
pub use vector::{VECTOR, Vector};
pub use vector_registers::parts_of as vector_parts_of;
