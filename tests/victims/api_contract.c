/* Correct: checks what glibc promises about malloc() and its relatives. */
#define _GNU_SOURCE
#include <errno.h>
#include <malloc.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define CHECK(what) check((what) ? 1 : 0, #what, __LINE__)

static volatile size_t absurd = PTRDIFF_MAX + 1ul;

static void check(int good, const char *what, int line)
{
    if (good)
        return;
    printf("api_contract: line %d failed: %s\n", line, what);
    exit(1);
}

static int is_aligned(void *p, size_t alignment)
{
    return (uintptr_t)p % alignment == 0;
}

static int is_filled(const char *p, char with, size_t size)
{
    for (size_t i = 0; i < size; i++)
        if (p[i] != with)
            return 0;
    return 1;
}

static void zero_and_null(void)
{
    char *volatile first = malloc(0);
    char *volatile second = malloc(0);
    CHECK(first && second && first != second);
    free(first);
    free(second);
    free(NULL);
    char *p = realloc(NULL, 100);
    CHECK(p);
    memset(p, 'x', 100);
    CHECK(realloc(p, 0) == NULL);
    p = calloc(0, 8);
    CHECK(p);
    free(p);
    CHECK(malloc_usable_size(NULL) == 0);
}

static void zeroed(void)
{
    for (size_t size = 1; size <= 1 << 20; size *= 4) {
        char *p = malloc(size);
        CHECK(p);
        memset(p, 'x', size);
        free(p);
        p = calloc(size, 1);
        CHECK(p && is_filled(p, 0, size));
        free(p);
    }
}

static void refused(void)
{
    char *volatile p = malloc(64);
    CHECK(p);
    memset(p, 'x', 64);
    errno = 0;
    CHECK(malloc(absurd) == NULL && errno == ENOMEM);
    errno = 0;
    CHECK(calloc(absurd / 2, 5) == NULL && errno == ENOMEM);
    errno = 0;
    CHECK(realloc(p, absurd) == NULL && errno == ENOMEM);
    errno = 0;
    CHECK(reallocarray(p, absurd / 2, 5) == NULL && errno == ENOMEM);
    errno = 0;
    CHECK(memalign(64, absurd) == NULL && errno == ENOMEM);
    void *unset = p;
    CHECK(posix_memalign(&unset, 64, absurd) == ENOMEM && unset == p);
    CHECK(posix_memalign(&unset, 24, 64) == EINVAL && unset == p);
    CHECK(is_filled(p, 'x', 64));
    p = reallocarray(p, 50, 4);
    CHECK(p && is_filled(p, 'x', 64));
    free(p);
}

static void errno_kept(void)
{
    errno = 77;
    for (size_t size = 1; size <= 8 << 20; size *= 8) {
        char *p = malloc(size);
        CHECK(p && errno == 77);
        p = realloc(p, 2 * size);
        CHECK(p && errno == 77);
        free(p);
        CHECK(errno == 77);
        p = calloc(size, 2);
        CHECK(p && errno == 77);
        free(p);
        CHECK(errno == 77);
    }
}

static void usable(void)
{
    for (size_t size = 0; size <= 300000; size = size * 5 / 4 + 1) {
        char *p = malloc(size);
        CHECK(p && is_aligned(p, 16));
        size_t all = malloc_usable_size(p);
        CHECK(all >= size);
        memset(p, 'x', all);
        free(p);
    }
}

static void aligned(void)
{
    for (size_t alignment = 8; alignment <= 2 << 20; alignment *= 2) {
        char *a = aligned_alloc(alignment, 2 * alignment);
        char *b = memalign(alignment, 100);
        void *c = NULL;
        CHECK(posix_memalign(&c, alignment, 1000) == 0);
        CHECK(a && is_aligned(a, alignment));
        CHECK(b && is_aligned(b, alignment));
        CHECK(c && is_aligned(c, alignment));
        memset(a, 'a', 2 * alignment);
        memset(b, 'b', 100);
        memset(c, 'c', 1000);
        CHECK(is_filled(a, 'a', 2 * alignment) && is_filled(b, 'b', 100) && is_filled(c, 'c', 1000));
        b = realloc(b, 5000);
        CHECK(b && is_filled(b, 'b', 100));
        free(a);
        free(b);
        free(c);
    }
    size_t page = sysconf(_SC_PAGESIZE);
    char *a = valloc(100);
    char *b = pvalloc(100);
    CHECK(a && is_aligned(a, page));
    CHECK(b && is_aligned(b, page) && malloc_usable_size(b) >= page);
    memset(b, 'b', page);
    free(a);
    free(b);
}

static void resized(void)
{
    char *p = NULL;
    size_t size = 1;
    for (size_t old = 0; size <= 1 << 20; old = size, size = size * 3 / 2 + 1) {
        p = realloc(p, size);
        CHECK(p && is_filled(p, 'x', old));
        memset(p, 'x', size);
    }
    for (size = 1 << 19; size > 0; size = size * 2 / 3) {
        p = realloc(p, size);
        CHECK(p && is_filled(p, 'x', size));
    }
    free(p);
}

static void made_by_libc(void)
{
    char *copy = strdup("a copy of this text");
    CHECK(copy && strcmp(copy, "a copy of this text") == 0);
    free(copy);
    char *printed = NULL;
    CHECK(asprintf(&printed, "%0500d", 7) == 500 && printed[499] == '7');
    free(printed);
    char *line = malloc(1);
    size_t room = 1;
    FILE *status = fopen("/proc/self/status", "r");
    CHECK(status && getline(&line, &room, status) > 5 && strncmp(line, "Name:", 5) == 0);
    fclose(status);
    free(line);
}

static void statistics(void)
{
    struct mallinfo2 before = mallinfo2();
    char *p = malloc(50000);
    CHECK(p);
    struct mallinfo2 after = mallinfo2();
    CHECK(after.uordblks >= before.uordblks + 50000);
    free(p);
    FILE *null = fopen("/dev/null", "w");
    CHECK(null && malloc_info(0, null) == 0);
    fclose(null);
    int trimmed = malloc_trim(0);
    CHECK(trimmed == 0 || trimmed == 1);
    CHECK(mallopt(M_MMAP_THRESHOLD, 128 * 1024) == 1);
    CHECK(mallopt(M_TRIM_THRESHOLD, 128 * 1024) == 1);
}

int main(void)
{
    printf("api_contract: start\n");
    fflush(stdout);
    zero_and_null();
    zeroed();
    refused();
    errno_kept();
    usable();
    aligned();
    resized();
    made_by_libc();
    statistics();
    printf("api_contract: end\n");
    return 0;
}
