//! Deadly signals are explained: one tiny program for each explanation, with a corrected twin that
//! stays silent. Exact text, functions of the stacks, status; see tests/victims.rs for the files.
//! Without guard pages, which find some of them earlier (tests/guards.rs).

mod harness;

use harness::victim;

macro_rules! victims {
    ($($name:ident: $source:literal $(, $flag:literal)*;)*) => {
        $(#[test] fn $name() { victim::check($source, &["--guard=off", $($flag),*]); })*
    };
}

victims! {
    null_read: "fault_null_read.c";
    null_write: "fault_null_write.c";
    null_call: "fault_null_call.c";
    pointer_from_a_freed_block: "fault_freed_pointer.c";
    pointer_from_a_fresh_block: "fault_fresh_pointer.c";
    virtual_function_of_a_deleted_object: "fault_freed_vtable.cpp";
    reference_into_a_vector_that_grew: "fault_vector_grown.cpp";
    object_of_a_shared_pointer_that_was_reset: "fault_shared_reset.cpp";
    object_of_new_given_to_delete_array: "fault_delete_array.cpp";
    rust_reference_that_outlives_its_box: "fault_rust.rs";
    recursion_without_end: "fault_stack_overflow.c";
    recursion_without_end_in_a_thread: "fault_thread_overflow.c";
    freed_block_that_was_unmapped: "fault_unmapped_block.c", "--mmap-threshold=1000000";
    division_by_zero: "fault_divide.c";
    trap_of_the_compiler: "fault_trap.c";
    breakpoint_without_a_debugger: "fault_breakpoint.c";
    failed_assertion: "fault_abort.c";
    mapped_file_that_became_shorter: "fault_short_file.c";
    constant_that_is_written: "fault_readonly.c";
}
