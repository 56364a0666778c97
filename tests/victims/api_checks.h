/* What api_errors.c, api_memory.c, api_reports.c and api_threads.c share. Each defines NAME first.
   They ask what glibc's own tests ask, by behaviour alone. */
#define _GNU_SOURCE
#include <errno.h>
#include <malloc.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define CHECK(what) check((what) ? 1 : 0, #what, __LINE__)
#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define KEYS 4096
#define MOST (9 << 20)
#define KEPT 77

/* Block number k holds the bytes of this from the k-th on. */
static unsigned char pattern[MOST + KEYS];
static size_t page;

static inline void check(int good, const char *what, int line)
{
    if (good)
        return;
    printf(NAME ": line %d failed: %s\n", line, what);
    exit(1);
}

static inline int is_aligned(void *p, size_t alignment)
{
    return p && (uintptr_t)p % alignment == 0;
}

static inline void fill(void *p, size_t size, size_t key)
{
    memcpy(p, pattern + key % KEYS, size);
}

static inline int holds(const void *p, size_t size, size_t key)
{
    return p && memcmp(p, pattern + key % KEYS, size) == 0;
}

static inline int is_zero(const char *p, size_t size)
{
    return p && (size == 0 || (p[0] == 0 && memcmp(p, p + 1, size - 1) == 0));
}

static inline void described_as_xml(void)
{
    char *text = NULL;
    size_t length = 0;
    FILE *stream = open_memstream(&text, &length);
    CHECK(stream);
    CHECK(malloc_info(1, stream) == EINVAL);
    CHECK(malloc_info(-1, stream) == EINVAL);
    CHECK(fflush(stream) == 0 && length == 0);
    CHECK(malloc_info(0, stream) == 0);
    fclose(stream);
    CHECK(strncmp(text, "<malloc", 7) == 0 && strstr(text, "</malloc>"));
    CHECK(strlen(text) == length);
    free(text);
}

/* The second to the fourth are System V's. glibc accepts them without effect. */
static inline void tunables(void)
{
    static const int known[][2] = {
        {M_MXFAST, 64}, {M_NLBLKS, 8}, {M_GRAIN, 16}, {M_KEEP, 1},
        {M_TOP_PAD, 64 << 10}, {M_MMAP_MAX, 65536}, {M_CHECK_ACTION, 3}, {M_PERTURB, 0},
        {M_ARENA_TEST, 2}, {M_ARENA_MAX, 8}, {M_TRIM_THRESHOLD, 256 << 10},
        {M_MMAP_THRESHOLD, 128 << 10},
    };
    for (size_t i = 0; i < COUNT(known); i++)
        CHECK(mallopt(known[i][0], known[i][1]) == 1);
    int trimmed = malloc_trim(0);
    CHECK(trimmed == 0 || trimmed == 1);
    trimmed = malloc_trim(1 << 20);
    CHECK(trimmed == 0 || trimmed == 1);
}

/* From then on glibc leaves its threshold where it is. Small sizes have their fast path. */
static inline void tune(void)
{
    tunables();
    CHECK(mallopt(M_MXFAST, 128) == 1);
}

static inline void prepare(void)
{
    printf(NAME ": start\n");
    fflush(stdout);
    page = sysconf(_SC_PAGESIZE);
    for (size_t i = 0; i < sizeof(pattern); i++)
        pattern[i] = (i * 2654435761u) >> 13;
}
