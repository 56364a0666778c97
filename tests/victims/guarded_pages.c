/* Pages that mappings say can be read, and that fault: guards (MADV_GUARD_INSTALL, Linux 6.13) among touched pages, in a
 * mapping and in blocks, and pages behind a protection key. One pointer lies behind the key. */
#define _GNU_SOURCE
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#define GUARD_INSTALL 102

static char *large, *small;
static void **closed;

static void *guard_own_stack(void *argument) {
    pthread_attr_t attributes;
    void *start;
    size_t size;
    pthread_getattr_np(pthread_self(), &attributes);
    pthread_attr_getstack(&attributes, &start, &size);
    pthread_attr_destroy(&attributes);
    /* As glibc 2.42 does for every thread's stack. */
    madvise((char *)start, 16 << 10, GUARD_INSTALL);
    free(malloc(100));
    return argument;
}

int main(void) {
    char *memory = mmap(0, 1 << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    memset(memory, 1, 1 << 20);
    int has_guards = madvise(memory, 8192, GUARD_INSTALL) == 0;
    madvise(memory + (64 << 10), 4096, GUARD_INSTALL);

    large = malloc(8 << 20), small = malloc(64 << 10);
    memset(large, 2, 8 << 20);
    memset(small, 2, 64 << 10);
    char *page = (char *)(((size_t)small + 8191) & ~(size_t)4095);
    madvise((char *)(((size_t)large + (4 << 20)) & ~(size_t)4095), 8192, GUARD_INSTALL);
    madvise(page, 4096, GUARD_INSTALL);

    closed = mmap(0, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    closed[7] = malloc(77);
    int key = pkey_alloc(0, 0);
    if (key >= 0) {
        pkey_mprotect(closed, 4096, PROT_READ | PROT_WRITE, key);
        pkey_set(key, PKEY_DISABLE_ACCESS);
    }

    pthread_t thread;
    for (int i = 0; i < 4; i++) {
        pthread_create(&thread, 0, guard_own_stack, 0);
        pthread_join(thread, 0);
    }
    printf("%s, %s\n", has_guards ? "guards" : "no guards", key >= 0 ? "keys" : "no keys");
    /* Freed with guards inside, as far as that can be done. */
    madvise(page, 4096, 103);
    free(small);
    puts("end");
    return 0;
}
