//! The sanitizers' symbols and what is behind each: one list, for the library that exports them and
//! for programs that they are linked into.

/// Calls the macro of that name with all of `symbol => function;`.
#[macro_export]
#[doc(hidden)]
macro_rules! for_each_sanitizer_symbol {
    ($do:ident) => {
        $do! {
            __lsan_disable => $crate::runtime::leak_calls::disable;
            __lsan_enable => $crate::runtime::leak_calls::enable;
            __lsan_do_leak_check => $crate::runtime::leak_calls::do_leak_check;
            __lsan_do_recoverable_leak_check => $crate::runtime::leak_calls::do_recoverable_leak_check;
            __lsan_ignore_object => $crate::runtime::leak_calls::ignore_object;
            __lsan_register_root_region => $crate::runtime::leak_calls::register_root_region;
            __lsan_unregister_root_region => $crate::runtime::leak_calls::unregister_root_region;
            __sanitizer_install_malloc_and_free_hooks => $crate::runtime::sanitizer_calls::install_malloc_and_free_hooks;
            __sanitizer_set_death_callback => $crate::runtime::death::set_death_callback;
            __sanitizer_acquire_crash_state => $crate::runtime::death::acquire_crash_state;
            __sanitizer_print_stack_trace => $crate::runtime::sanitizer_calls::print_stack_trace;
            __sanitizer_purge_allocator => $crate::runtime::sanitizer_calls::purge_allocator;
            __sanitizer_print_memory_profile => $crate::runtime::sanitizer_calls::print_memory_profile;
            __sanitizer_set_report_fd => $crate::runtime::sanitizer_calls::set_report_fd;
            __sanitizer_symbolize_pc => $crate::runtime::sanitizer_calls::symbolize_pc;
            __sanitizer_get_module_and_offset_for_pc => $crate::runtime::sanitizer_calls::get_module_and_offset_for_pc;
            mallocop_check => $crate::runtime::leak_calls::verify;
        }
    };
}
