/* A seccomp filter that ends the program at each system call but those that it makes itself and the ones that
 * docs/leaks.md lists. Argument: what to do then. */
#define _GNU_SOURCE
#include <errno.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#define ALLOW(call) BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_##call, 0, 1), \
                    BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW)

extern int __lsan_do_recoverable_leak_check(void) __attribute__((weak));
extern int mallocop_check(void) __attribute__((weak));

static void confine(void) {
    struct sock_filter rules[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        ALLOW(brk), ALLOW(mmap), ALLOW(munmap), ALLOW(mprotect), ALLOW(mremap), ALLOW(madvise),
        ALLOW(futex), ALLOW(write), ALLOW(exit_group),
        /* What the program makes natively: stdio asks for the kind of its output; abort sends itself a signal. */
        ALLOW(newfstatat), ALLOW(rt_sigprocmask), ALLOW(gettid), ALLOW(getpid), ALLOW(tgkill),
        ALLOW(rt_sigaction),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS),
    };
    struct sock_fprog filter = {sizeof rules / sizeof *rules, rules};
    prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
    if (prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter))
        exit(77);
}

int main(int count, char **arguments) {
    const char *what = arguments[1];
    char *volatile block = malloc(40), *volatile large = malloc(1 << 20);
    static char *volatile kept;
    kept = malloc(60);
    memset(large, 1, 1 << 20);
    confine();
    for (int i = 0; i < 1000; i++)
        free(malloc(i * 100));
    large = realloc(large, 3 << 20);
    free(large);
    if (!strcmp(what, "overflow"))
        block[40] = 1;
    if (!strcmp(what, "late"))
        kept[60] = 1;
    if (!strcmp(what, "invalid"))
        free(block + 8);
    if (!strcmp(what, "large"))
        ((volatile char *)large)[100] = 1;
    if (!strcmp(what, "check") && mallocop_check)
        mallocop_check();
    if (!strcmp(what, "leaks") && __lsan_do_recoverable_leak_check)
        __lsan_do_recoverable_leak_check();
    if (!strcmp(what, "stats"))
        puts(malloc((size_t)-1) ? "bad" : "refused");
    free(block);
    if (!strcmp(what, "twice"))
        free(block);
    puts("end");
    return 0;
}
