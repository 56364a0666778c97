/* Correct programs in places that are hard on guarded blocks. Usage: guard_places PLACE; prints the same with a checker
 * and without. */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <malloc.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#define SITES 40

static char *blocks[SITES];

/* One site each: the frames above differ. */
#define SITE(n) __attribute__((noinline)) static char *site##n(size_t size) { char *p = malloc(size); if (p) memset(p, n, size); return p; }
SITE(0) SITE(1) SITE(2) SITE(3) SITE(4) SITE(5) SITE(6) SITE(7)
static char *(*const sites[])(size_t) = { site0, site1, site2, site3, site4, site5, site6, site7 };

__attribute__((noinline)) static int use(void) {
    int good = 0;
    for (int i = 0; i < SITES; i++)
        blocks[i] = sites[i % 8](20 + 300 * i);
    for (int i = 0; i < SITES; i++)
        good += blocks[i] && blocks[i][0] == i % 8 && blocks[i][19 + 300 * i] == i % 8 && malloc_usable_size(blocks[i]) >= 20 + 300 * i;
    for (int i = 0; i < SITES; i++)
        free(blocks[i]);
    return good;
}

static int child(void) {
    int status;
    char *kept = site3(100);
    fflush(stdout);
    pid_t forked = fork();
    if (forked == 0) {
        int good = use() + (kept[99] == 3);
        free(kept);
        good += use();
        pid_t second = fork();
        if (second == 0)
            _exit(use() == SITES ? 0 : 1);
        waitpid(second, &status, 0);
        _exit(good == 2 * SITES + 1 && status == 0 ? 7 : 1);
    }
    waitpid(forked, &status, 0);
    int good = kept[0] == 3 && use() == SITES;
    free(kept);
    return good && WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static void *in_thread(void *unused) {
    (void)unused;
    long good = 0;
    for (int round = 0; round < 50; round++)
        for (int i = 0; i < 8; i++) {
            char *p = sites[i](50 + i), *q = calloc(3, 40 + i);
            good += p[49] == i && q[100] == 0;
            p = realloc(p, 5000 + round);
            good += p[40] == i;
            free(q);
            free(p);
        }
    return (void *)good;
}

static long threads(void) {
    pthread_t all[8];
    long good = 0;
    for (int i = 0; i < 8; i++)
        pthread_create(&all[i], 0, in_thread, 0);
    for (int i = 0; i < 8; i++) {
        void *result;
        pthread_join(all[i], &result);
        good += (long)result;
    }
    return good;
}

static int pipes[2];

static void *reads(void *unused) {
    char *p = site5(64);
    pthread_cleanup_push(free, p);
    if (read(pipes[0], p, 64) >= 0)
        return unused;
    pthread_cleanup_pop(1);
    return 0;
}

static int cancelled(void) {
    pthread_t thread;
    void *result;
    if (pipe(pipes))
        return -1;
    pthread_create(&thread, 0, reads, 0);
    usleep(20000);
    pthread_cancel(thread);
    pthread_join(thread, &result);
    return result == PTHREAD_CANCELED;
}

static int limit(int which, rlim_t bytes) {
    struct rlimit limit = { bytes, bytes };
    return setrlimit(which, &limit) ? -1 : use();
}

static int aligned(void) {
    int good = 0;
    for (int power = 4; power < 15; power++) {
        char *p = aligned_alloc(1 << power, 100 << power % 3), *q = 0;
        good += p && (size_t)p % (1 << power) == 0;
        good += posix_memalign((void **)&q, 1 << power, 33) == 0 && (size_t)q % (1 << power) == 0;
        p = realloc(p, 70000);
        good += p != 0;
        free(p);
        free(q);
    }
    return good;
}

static int filtered(void) {
    struct sock_filter rules[] = {BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW)};
    struct sock_fprog filter = {1, rules};
    int good = use();
    prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
    good += prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter) == 0;
    return good + use();
}

int main(int count, char **arguments) {
    const char *place = count > 1 ? arguments[1] : "";
    long result = -1;
    if (!strcmp(place, "use"))
        result = use();
    else if (!strcmp(place, "fork"))
        result = child();
    else if (!strcmp(place, "threads"))
        result = threads();
    else if (!strcmp(place, "locked_before"))
        result = mlockall(MCL_CURRENT | MCL_FUTURE) ? use() : use();
    else if (!strcmp(place, "locked_between")) {
        result = use();
        mlockall(MCL_CURRENT | MCL_FUTURE);
        result += use() + use();
    } else if (!strcmp(place, "address_space"))
        result = limit(RLIMIT_AS, 2UL << 30);
    else if (!strcmp(place, "data"))
        result = limit(RLIMIT_DATA, 200 << 20);
    else if (!strcmp(place, "cancelled"))
        result = cancelled();
    else if (!strcmp(place, "aligned"))
        result = aligned();
    else if (!strcmp(place, "filtered"))
        result = filtered();
    else if (!strcmp(place, "dlerror")) {
        /* Calls that are interposed leave a pending error of the loader alone. */
        char text[100];
        int file = dlopen("/nowhere/libnothing.so", RTLD_NOW) ? -1 : open("/dev/zero", 0);
        result = read(file, text, 100) + pread(file, text, 100, 0) + write(file, text, 0);
        result += dlerror() ? 1000 : 0;
    }
    printf("%s: %ld\n", place, result);
    return 0;
}
