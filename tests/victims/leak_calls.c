/* leak_calls MODE: what a program says of its leaks itself. */
#include "../../include/mallocop.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *mode;

/* Not exported: the program is linked without -rdynamic. */
const char *__lsan_default_suppressions(void)
{
    return strcmp(mode, "suppressions") == 0 ? "# by the program\nleak:leak_it\n" : NULL;
}

int __lsan_is_turned_off(void)
{
    return strcmp(mode, "turned-off") == 0;
}

__attribute__((noinline)) static void *leak_it(size_t size)
{
    char *block = malloc(size);
    memset(block, 0, size);
    return block;
}

__attribute__((noinline)) static void scrub_stack(void)
{
    volatile char dead[4096];
    memset((void *)dead, 0, sizeof dead);
}

__attribute__((noinline)) static void ignore(void)
{
    void **holder = leak_it(1000);
    holder[50] = leak_it(1001);
    mallocop_ignore_leak((char *)holder + 500);
    mallocop_begin_ignoring_leaks();
    mallocop_begin_ignoring_leaks();
    leak_it(1002);
    mallocop_end_ignoring_leaks();
    leak_it(1003);
    mallocop_end_ignoring_leaks();
    mallocop_end_ignoring_leaks();
    leak_it(1004);
}

int main(int argc, char **argv)
{
    mode = argc > 1 ? argv[1] : "";
    printf("leak_calls: start\n");
    if (strcmp(mode, "ignore") == 0) {
        ignore();
    } else if (strcmp(mode, "recoverable") == 0) {
        printf("before: %d\n", mallocop_find_leaks());
        void *volatile kept = leak_it(1000);
        printf("kept: %d\n", mallocop_find_leaks());
        kept = NULL;
        scrub_stack();
        printf("lost: %d\n", mallocop_find_leaks());
    } else if (strcmp(mode, "now") == 0) {
        leak_it(1000);
        scrub_stack();
        mallocop_check_leaks_and_end();
        printf("never reached\n");
    } else if (strcmp(mode, "once") == 0) {
        mallocop_check_leaks_and_end();
        leak_it(1000);
    } else {
        leak_it(1000);
    }
    scrub_stack();
    printf("leak_calls: end\n");
    return 0;
}
