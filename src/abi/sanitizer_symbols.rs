//! The sanitizers' symbols and what is behind each: one list, for the library that exports them and
//! for programs that they are linked into.

/// Calls the macro of that name with all of `symbol => function;`.
#[macro_export]
#[doc(hidden)]
macro_rules! for_each_sanitizer_symbol {
    ($do:ident) => {
        $do! {
            __lsan_disable => $crate::abi::lsan::disable;
            __lsan_enable => $crate::abi::lsan::enable;
            __lsan_do_leak_check => $crate::abi::lsan::do_leak_check;
            __lsan_do_recoverable_leak_check => $crate::abi::lsan::do_recoverable_leak_check;
            __lsan_ignore_object => $crate::abi::lsan::ignore_object;
            __lsan_register_root_region => $crate::abi::lsan::register_root_region;
            __lsan_unregister_root_region => $crate::abi::lsan::unregister_root_region;
            __sanitizer_install_malloc_and_free_hooks =>
                $crate::abi::sanitizer::install_malloc_and_free_hooks;
            __sanitizer_set_death_callback => $crate::runtime::abort::set_death_callback;
            __sanitizer_acquire_crash_state => $crate::runtime::abort::acquire_crash_state;
            __sanitizer_print_stack_trace => $crate::abi::sanitizer::print_stack_trace;
            __sanitizer_purge_allocator => $crate::abi::sanitizer::purge_allocator;
            __sanitizer_print_memory_profile => $crate::abi::sanitizer::print_memory_profile;
            __sanitizer_set_report_fd => $crate::abi::sanitizer::set_report_fd;
            __sanitizer_symbolize_pc => $crate::abi::sanitizer::symbolize_pc;
            __sanitizer_get_module_and_offset_for_pc =>
                $crate::abi::sanitizer::get_module_and_offset_for_pc;
            mallocop_check => $crate::abi::lsan::verify;
        }
    };
}
