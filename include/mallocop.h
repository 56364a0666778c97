/* mallocop for programs that know it: all of this does nothing, and costs a comparison, where mallocop is not
 * loaded. The names that begin with two underscores are LeakSanitizer's, so that a program built with a real
 * sanitizer gets that one's.
 *
 * May be called from any thread, not from signal handlers. */
#ifndef MALLOCOP_H
#define MALLOCOP_H

#include <stddef.h>
#include <stdlib.h>

#ifdef __cplusplus
extern "C" {
#endif

#define MALLOCOP_WEAK __attribute__((weak))

MALLOCOP_WEAK int mallocop_check(void);
MALLOCOP_WEAK void __lsan_do_leak_check(void);
MALLOCOP_WEAK int __lsan_do_recoverable_leak_check(void);
MALLOCOP_WEAK void __lsan_disable(void);
MALLOCOP_WEAK void __lsan_enable(void);
MALLOCOP_WEAK void __lsan_ignore_object(const void *pointer);
MALLOCOP_WEAK void __lsan_register_root_region(const void *start, size_t bytes);
MALLOCOP_WEAK void __lsan_unregister_root_region(const void *start, size_t bytes);

/* Verifies every live block and every freed one that waits; reports what is damaged. Returns how many are. */
static inline int mallocop_verify(void)
{
    return mallocop_check ? mallocop_check() : 0;
}

/* Looks for leaks now and reports them. Returns 1 if there are any. They are reported at exit again. */
static inline int mallocop_find_leaks(void)
{
    return __lsan_do_recoverable_leak_check ? __lsan_do_recoverable_leak_check() : 0;
}

/* Looks for leaks now instead of at exit; ends the program by exit(3), with the status for findings, if there are
 * any. */
static inline void mallocop_check_leaks_and_end(void)
{
    if (__lsan_do_leak_check)
        __lsan_do_leak_check();
}

/* What the calling thread allocates between these two is never reported as a leak. They nest. */
static inline void mallocop_begin_ignoring_leaks(void)
{
    if (__lsan_disable)
        __lsan_disable();
}

static inline void mallocop_end_ignoring_leaks(void)
{
    if (__lsan_enable)
        __lsan_enable();
}

/* The block that `pointer` is in, and all that only it leads to, is never reported as a leak. */
static inline void mallocop_ignore_leak(const void *pointer)
{
    if (__lsan_ignore_object)
        __lsan_ignore_object(pointer);
}

/* Pointers in these bytes keep blocks, wherever they are. To be taken back with the same two values. At most 4096
 * at a time. */
static inline void mallocop_add_root(const void *start, size_t bytes)
{
    if (__lsan_register_root_region)
        __lsan_register_root_region(start, bytes);
}

static inline void mallocop_remove_root(const void *start, size_t bytes)
{
    if (__lsan_unregister_root_region)
        __lsan_unregister_root_region(start, bytes);
}

/* Under AFL++ in persistent mode: at the end of each input. A leak ends the process by SIGABRT, which AFL++ saves as a
 * crash. afl-cc defines these three itself where a real LeakSanitizer is built in (AFL_USE_LSAN). */
static inline void mallocop_abort_on_leak(void)
{
    if (mallocop_find_leaks())
        abort();
}

#ifndef __AFL_LEAK_CHECK
#define __AFL_LEAK_CHECK() mallocop_abort_on_leak()
#endif
#ifndef __AFL_LSAN_OFF
#define __AFL_LSAN_OFF() mallocop_begin_ignoring_leaks()
#endif
#ifndef __AFL_LSAN_ON
#define __AFL_LSAN_ON() mallocop_end_ignoring_leaks()
#endif

#ifdef __cplusplus
}

namespace mallocop {

/* What its thread allocates while this lives is never reported as a leak. */
class IgnoreLeaks {
public:
    IgnoreLeaks() { mallocop_begin_ignoring_leaks(); }
    ~IgnoreLeaks() { mallocop_end_ignoring_leaks(); }
    IgnoreLeaks(const IgnoreLeaks &) = delete;
    IgnoreLeaks &operator=(const IgnoreLeaks &) = delete;
};

}
#endif
#endif
