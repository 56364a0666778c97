/* Correct: asks of malloc() and its relatives what glibc's own tests ask, by behaviour alone. */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <malloc.h>
#include <pthread.h>
#include <spawn.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include <wchar.h>

#define CHECK(what) check((what) ? 1 : 0, #what, __LINE__)
#define REFUSED(call) (errno = 0, (call) == NULL && errno == ENOMEM)
#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define KEYS 4096
#define MOST (9 << 20)
#define KEPT 77

/* Block number k holds the bytes of this from the k-th on. */
static unsigned char pattern[MOST + KEYS];
static size_t page;

/* A compiler does not know their values, so that it keeps the calls and has nothing to warn of. */
static volatile size_t zero = 0, one = 1, widest = SIZE_MAX, farthest = PTRDIFF_MAX;

static void check(int good, const char *what, int line)
{
    if (good)
        return;
    printf("api_behaviour: line %d failed: %s\n", line, what);
    exit(1);
}

static int is_aligned(void *p, size_t alignment)
{
    return p && (uintptr_t)p % alignment == 0;
}

static void fill(void *p, size_t size, size_t key)
{
    memcpy(p, pattern + key % KEYS, size);
}

static int holds(const void *p, size_t size, size_t key)
{
    return p && memcmp(p, pattern + key % KEYS, size) == 0;
}

static int is_zero(const char *p, size_t size)
{
    return p && (size == 0 || (p[0] == 0 && memcmp(p, p + 1, size - 1) == 0));
}

static size_t power_of_two_from(size_t least)
{
    size_t power = 16;
    while (power < least)
        power *= 2;
    return power;
}

/* --- Statistics and tunables --- */

/* A few freed blocks may still count as used, because a thread keeps them in its cache. */
static void small_blocks_count(void)
{
    char *volatile blocks[100];
    struct mallinfo2 before = mallinfo2();
    for (int i = 0; i < 100; i++)
        blocks[i] = malloc(1000);
    struct mallinfo2 during = mallinfo2();
    for (int i = 0; i < 100; i++)
        free(blocks[i]);
    struct mallinfo2 after = mallinfo2();
    CHECK(during.uordblks >= before.uordblks + 100 * 1000);
    CHECK(after.uordblks <= during.uordblks - 90 * 1000);
    CHECK(after.uordblks >= before.uordblks);
    CHECK(before.uordblks + before.fordblks <= before.arena);
    CHECK(during.uordblks + during.fordblks <= during.arena);
    CHECK(after.uordblks + after.fordblks <= after.arena);
}

static void mapped_block_counts(size_t size)
{
    struct mallinfo2 before = mallinfo2();
    char *volatile p = malloc(size);
    CHECK(p);
    struct mallinfo2 during = mallinfo2();
    CHECK(during.hblks == before.hblks + 1);
    CHECK(during.hblkhd >= before.hblkhd + size);
    CHECK(during.uordblks < before.uordblks + size / 2);
    CHECK(during.uordblks + during.fordblks <= during.arena);
    p = realloc(p, 2 * size);
    CHECK(p);
    during = mallinfo2();
    CHECK(during.hblks == before.hblks + 1);
    CHECK(during.hblkhd >= before.hblkhd + 2 * size);
    free(p);
    struct mallinfo2 after = mallinfo2();
    CHECK(after.hblks == before.hblks && after.hblkhd == before.hblkhd);
    CHECK(after.uordblks < before.uordblks + size / 2);
}

static void old_form_agrees(void)
{
    char *volatile p = malloc(5000);
    struct mallinfo2 wide = mallinfo2();
    struct mallinfo narrow = mallinfo();
    CHECK(narrow.arena == (int)wide.arena && narrow.hblks == (int)wide.hblks);
    CHECK(narrow.hblkhd == (int)wide.hblkhd && narrow.uordblks == (int)wide.uordblks);
    CHECK(narrow.fordblks == (int)wide.fordblks && narrow.uordblks >= 5000);
    free(p);
}

static void described_as_xml(void)
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

static void tunables(void)
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

/* The threshold stays where the program has put it. The sizes are beyond any hole in the heap. */
static void mapped_from_the_threshold_on(void)
{
    CHECK(mallopt(M_MMAP_THRESHOLD, 16 << 20) == 1);
    for (int i = 0; i < 3; i++) {
        struct mallinfo2 before = mallinfo2();
        char *volatile below = malloc(15 << 20);
        char *volatile above = malloc(17 << 20);
        struct mallinfo2 during = mallinfo2();
        CHECK(below && above && during.hblks == before.hblks + 1);
        free(below);
        free(above);
        mapped_block_counts(20 << 20);
    }
    CHECK(mallopt(M_MMAP_THRESHOLD, 128 << 10) == 1);
}

/* No size has a fast path of its own, and fresh memory is not zero. */
static void odd_tunables(void)
{
    char *volatile blocks[64];
    CHECK(mallopt(M_MXFAST, 0) == 1 && mallopt(M_PERTURB, 0x5a) == 1);
    for (size_t round = 0; round < 20; round++) {
        for (size_t i = 0; i < COUNT(blocks); i++) {
            size_t size = 1 + i * (round + 1);
            blocks[i] = i % 2 ? malloc(size) : calloc(size, 1);
            CHECK(blocks[i] && (i % 2 || is_zero(blocks[i], size)));
            fill(blocks[i], size, i);
        }
        for (size_t i = 0; i < COUNT(blocks); i++) {
            size_t size = 1 + i * (round + 1);
            blocks[i] = realloc(blocks[i], 3 * size);
            CHECK(holds(blocks[i], size, i));
        }
        for (size_t i = 0; i < COUNT(blocks); i++)
            free(blocks[i]);
    }
    char *volatile big = calloc(1, 1 << 20);
    CHECK(is_zero(big, 1 << 20));
    free(big);
    CHECK(mallopt(M_MXFAST, 128) == 1 && mallopt(M_PERTURB, 0) == 1);
}

/* --- Requests that cannot be met --- */

static void too_large(size_t size)
{
    CHECK(REFUSED(malloc(size)));
    CHECK(REFUSED(calloc(1, size)));
    CHECK(REFUSED(calloc(size, 1)));
    CHECK(REFUSED(realloc(NULL, size)));
    CHECK(REFUSED(reallocarray(NULL, size, 1)));
    CHECK(REFUSED(reallocarray(NULL, 1, size)));
    CHECK(REFUSED(valloc(size)));
    CHECK(REFUSED(pvalloc(size)));
    for (size_t alignment = 1; alignment <= 1 << 20; alignment *= 8) {
        CHECK(REFUSED(memalign(alignment, size)));
        CHECK(REFUSED(aligned_alloc(alignment, size)));
    }
    for (size_t alignment = 8; alignment <= 1 << 20; alignment *= 8) {
        void *untouched = pattern;
        errno = 0;
        CHECK(posix_memalign(&untouched, alignment, size) == ENOMEM && errno == ENOMEM);
        CHECK(untouched == pattern);
    }
}

static void all_too_large(void)
{
    for (size_t i = 0; i < 64; i++) {
        too_large(widest - i);
        too_large(widest - i * page);
        too_large(farthest - i);
        too_large(farthest + 1 + i);
        too_large(farthest - i * page);
        too_large(farthest + i * page + 1);
    }
    for (size_t shift = 48; shift < 64; shift++)
        too_large(one << shift);
}

static void resize_refused(char *p, size_t size)
{
    static const size_t factors[] = {2, 3, 7, 16, 1000, 4096, 65537, 1ul << 32};
    fill(p, size, 5);
    for (size_t i = 0; i < 32; i++) {
        CHECK(REFUSED(realloc(p, widest - i * 61)));
        CHECK(REFUSED(realloc(p, farthest - i * 61)));
        CHECK(REFUSED(realloc(p, farthest + 1 + i * 61)));
    }
    for (size_t i = 0; i < COUNT(factors); i++) {
        CHECK(REFUSED(reallocarray(p, widest / factors[i] + 1, factors[i])));
        CHECK(REFUSED(reallocarray(p, factors[i], widest / factors[i] + 1)));
        CHECK(REFUSED(reallocarray(p, widest / factors[i], factors[i])));
    }
    CHECK(REFUSED(reallocarray(p, widest, widest)));
    CHECK(malloc_usable_size(p) >= size && holds(p, size, 5));
    p = realloc(p, size + 1000);
    CHECK(holds(p, size, 5));
    free(p);
}

/* Some of these products are small when they have wrapped. */
static void products(void)
{
    static const size_t factors[] = {2, 3, 5, 7, 16, 255, 4096, 65535, 65537, 1ul << 31};
    for (size_t i = 0; i < COUNT(factors); i++) {
        size_t edge = widest / factors[i];
        CHECK(REFUSED(calloc(edge + 1, factors[i])));
        CHECK(REFUSED(calloc(factors[i], edge + 1)));
        CHECK(REFUSED(calloc(edge, factors[i])));
        CHECK(REFUSED(calloc(edge + 2, factors[i])));
        CHECK(REFUSED(reallocarray(NULL, edge + 1, factors[i])));
        CHECK(REFUSED(reallocarray(NULL, factors[i], edge + 2)));
    }
    CHECK(REFUSED(calloc(one << 32, one << 32)));
    CHECK(REFUSED(calloc((one << 32) + 1, one << 32)));
    CHECK(REFUSED(calloc((one << 63) + 8, 2)));
    CHECK(REFUSED(calloc(widest, widest)));
    CHECK(REFUSED(reallocarray(NULL, (one << 63) + 8, 2)));
    char *volatile none[] = {
        calloc(zero, widest), calloc(widest, zero), calloc(zero, zero),
        reallocarray(NULL, zero, widest), reallocarray(NULL, widest, zero),
    };
    for (size_t i = 0; i < COUNT(none); i++) {
        CHECK(is_aligned(none[i], 16));
        free(none[i]);
    }
    char *volatile p = reallocarray(NULL, 7, 11);
    fill(p, 77, 3);
    p = reallocarray(p, 11, 100);
    CHECK(holds(p, 77, 3));
    p = reallocarray(p, 3, 5);
    CHECK(holds(p, 15, 3));
    CHECK(reallocarray(p, widest, zero) == NULL);
}

/* Processor time, which others on the machine do not lengthen. */
static double seconds_used(void)
{
    struct timespec now;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
    return now.tv_sec + now.tv_nsec / 1e9;
}

/* A refusal is cheap: programs probe for the largest block that they can get. */
static void refused_quickly(void)
{
    char *volatile p = malloc(1000);
    fill(p, 1000, 9);
    double start = seconds_used();
    for (size_t i = 0; i < 30000; i++) {
        CHECK(malloc(widest - i) == NULL);
        CHECK(malloc(farthest - i * 16) == NULL);
        CHECK(realloc(p, widest - i) == NULL);
        CHECK(realloc(p, farthest - i * 16) == NULL);
    }
    double used = seconds_used() - start;
    CHECK(used < 2.0);
    CHECK(holds(p, 1000, 9));
    free(p);
}

/* --- Alignment and size --- */

static void aligned_in_three_ways(size_t alignment, size_t size)
{
    size_t least = power_of_two_from(alignment);
    void *c = pattern;
    char *a = memalign(alignment, size);
    char *b = aligned_alloc(alignment, size);
    if (alignment % sizeof(void *)) {
        CHECK(posix_memalign(&c, alignment, size) == EINVAL && c == pattern);
        c = malloc(size);
    } else {
        CHECK(posix_memalign(&c, alignment, size) == 0);
    }
    CHECK(is_aligned(a, least) && is_aligned(b, least) && is_aligned(c, least));
    size_t all_a = malloc_usable_size(a);
    size_t all_b = malloc_usable_size(b);
    size_t all_c = malloc_usable_size(c);
    CHECK(all_a >= size && all_b >= size && all_c >= size);
    fill(a, all_a, 1);
    fill(b, all_b, 2);
    fill(c, all_c, 3);
    CHECK(holds(a, all_a, 1) && holds(b, all_b, 2) && holds(c, all_c, 3));
    free(b);
    free(a);
    free(c);
}

static void all_alignments(void)
{
    for (size_t alignment = 1; alignment <= 1 << 20; alignment *= 2)
        for (size_t size = 0; size <= 70000; size += 1 + size / 4 + size % 7)
            aligned_in_three_ways(alignment, size);
}

/* glibc takes the next power of two, but for posix_memalign(). */
static void uneven_alignments(void)
{
    static const size_t uneven[] = {
        0, 3, 5, 7, 12, 17, 24, 33, 48, 100, 1000, 3000, 5000, 65537, 100000, (1 << 20) - 1,
    };
    for (size_t i = 0; i < COUNT(uneven); i++) {
        size_t least = power_of_two_from(uneven[i]);
        char *volatile a = memalign(uneven[i], 3000);
        char *volatile b = aligned_alloc(uneven[i], 3000);
        CHECK(is_aligned(a, least) && is_aligned(b, least));
        fill(a, 3000, 1);
        fill(b, 3000, 2);
        CHECK(holds(a, 3000, 1) && holds(b, 3000, 2));
        free(a);
        free(b);
        void *untouched = pattern;
        errno = KEPT;
        CHECK(posix_memalign(&untouched, uneven[i], 3000) == EINVAL);
        CHECK(untouched == pattern && errno == KEPT);
    }
}

static void impossible_alignments(void)
{
    void *untouched = pattern;
    errno = 0;
    CHECK(memalign((one << 63) + 1, 10) == NULL && errno == EINVAL);
    errno = 0;
    CHECK(memalign(widest, 10) == NULL && errno == EINVAL);
    errno = 0;
    CHECK(memalign(-page, page) == NULL && errno == EINVAL);
    errno = 0;
    CHECK(aligned_alloc(widest, 10) == NULL && errno == EINVAL);
    CHECK(REFUSED(memalign(one << 63, 10)));
    CHECK(REFUSED(aligned_alloc(one << 63, 10)));
    CHECK(REFUSED(memalign(one << 62, one << 62)));
    CHECK(posix_memalign(&untouched, one << 63, 10) == ENOMEM && untouched == pattern);
    CHECK(posix_memalign(&untouched, widest, 10) == EINVAL && untouched == pattern);
    CHECK(posix_memalign(&untouched, -page, 10) == EINVAL && untouched == pattern);
}

static void whole_pages(void)
{
    for (size_t size = 0; size <= 70000; size += 1 + size / 4 + size % 7) {
        size_t rounded = (size + page - 1) / page * page;
        char *volatile a = valloc(size);
        char *volatile b = pvalloc(size);
        CHECK(is_aligned(a, page) && is_aligned(b, page));
        CHECK(malloc_usable_size(a) >= size && malloc_usable_size(b) >= rounded);
        fill(a, malloc_usable_size(a), 1);
        fill(b, malloc_usable_size(b), 2);
        CHECK(holds(a, size, 1) && holds(b, rounded, 2));
        b = realloc(b, rounded + 100);
        CHECK(holds(b, rounded, 2));
        free(a);
        free(b);
    }
}

static void usable(void)
{
    CHECK(malloc_usable_size(NULL) == 0);
    for (size_t size = 0; size <= 300000; size += 1 + size / 5 + size % 11) {
        char *volatile a = calloc(1, size);
        char *volatile b = realloc(malloc(size / 2 + 1), size + 1);
        CHECK(is_aligned(a, 16) && is_aligned(b, 16));
        size_t all_a = malloc_usable_size(a);
        size_t all_b = malloc_usable_size(b);
        CHECK(all_a >= size && all_b >= size + 1);
        fill(a, all_a, 1);
        fill(b, all_b, 2);
        CHECK(malloc_usable_size(a) == all_a && malloc_usable_size(b) == all_b);
        a = realloc(a, all_a);
        b = realloc(b, all_b);
        CHECK(holds(a, all_a, 1) && holds(b, all_b, 2));
        free(a);
        free(b);
    }
}

/* --- Contents --- */

static void *from_way(int way, size_t size)
{
    void *p = NULL;
    switch (way) {
    case 0:
        return malloc(size);
    case 1:
        return calloc(size, 1);
    case 2:
        return memalign(64, size);
    case 3:
        return posix_memalign(&p, 4096, size) ? NULL : p;
    default:
        return aligned_alloc(1 << 17, size);
    }
}

static void resized_from_each_to_each(void)
{
    static const size_t sizes[] = {
        1, 25, 500, 4000, 40000, 120000, 131072, 140000, 1 << 20, 3000001, 8 << 20,
    };
    for (size_t from = 0; from < COUNT(sizes); from++) {
        for (size_t to = 0; to < COUNT(sizes); to++) {
            int way = (from + 2 * to) % 5;
            size_t common = sizes[from] < sizes[to] ? sizes[from] : sizes[to];
            char *volatile p = from_way(way, sizes[from]);
            CHECK(p);
            fill(p, sizes[from], from);
            p = realloc(p, sizes[to]);
            CHECK(is_aligned(p, 16) && malloc_usable_size(p) >= sizes[to]);
            CHECK(holds(p, common, from));
            fill(p, sizes[to], to);
            p = realloc(p, sizes[from]);
            CHECK(is_aligned(p, 16) && holds(p, common, to));
            free(p);
        }
    }
}

static void resized_in_small_steps(void)
{
    char *volatile p = NULL;
    size_t size = 0;
    for (size_t next = 1; next <= 220000; next += next < 2000 ? 1 : 4093) {
        p = realloc(p, next);
        CHECK(holds(p, size, 0));
        fill(p, next, 0);
        size = next;
    }
    while (size > 0) {
        size -= size > 2000 ? 4093 : 1;
        if (size == 0)
            break;
        p = realloc(p, size);
        CHECK(holds(p, size, 0));
    }
    CHECK(realloc(p, 0) == NULL);
    for (int way = 0; way < 5; way++) {
        CHECK(realloc(from_way(way, 300), 0) == NULL);
        CHECK(realloc(from_way(way, 1 << 20), 0) == NULL);
    }
    p = realloc(NULL, 0);
    CHECK(p);
    free(p);
}

static void zero_after_dirt(void)
{
    for (size_t size = 1; size <= 200000; size += 1 + size / 64 + size * 31 % 13) {
        char *volatile dirty[] = {malloc(size), malloc(size + 40), memalign(256, size)};
        for (size_t i = 0; i < COUNT(dirty); i++)
            fill(dirty[i], malloc_usable_size(dirty[i]), i + 7);
        for (size_t i = 0; i < COUNT(dirty); i++)
            free(dirty[i]);
        char *volatile clean[] = {calloc(size, 1), calloc(1, size), calloc((size + 2) / 3, 3)};
        for (size_t i = 0; i < COUNT(clean); i++)
            CHECK(is_aligned(clean[i], 16) && is_zero(clean[i], size));
        for (size_t i = 0; i < COUNT(clean); i++) {
            fill(clean[i], size, i + 1);
            free(clean[i]);
        }
    }
}

/* --- errno --- */

#define KEEPS(statement) do { errno = KEPT; statement; CHECK(errno == KEPT); } while (0)

static void errno_kept_by_success(size_t size)
{
    char *volatile a, *volatile b, *volatile c;
    void *d = NULL;
    KEEPS(a = memalign(64, size));
    KEEPS(b = valloc(size));
    KEEPS(c = pvalloc(size));
    KEEPS(CHECK(posix_memalign(&d, 128, size) == 0));
    CHECK(a && b && c && d);
    KEEPS(a = realloc(a, size / 2 + 1));
    KEEPS(b = realloc(b, size * 2));
    KEEPS(c = reallocarray(c, size, 3));
    KEEPS(CHECK(malloc_usable_size(d) >= size));
    KEEPS(free(a));
    KEEPS(free(b));
    KEEPS(CHECK(realloc(c, 0) == NULL));
    KEEPS(free(d));
    KEEPS(free(NULL));
    KEEPS(a = aligned_alloc(1 << 16, size));
    KEEPS(mallinfo2());
    KEEPS(free(a));
    KEEPS(CHECK(mallopt(M_MXFAST, 128) == 1));
}

static size_t most_mappings(void)
{
    size_t most = 0;
    FILE *file = fopen("/proc/sys/vm/max_map_count", "r");
    if (file && fscanf(file, "%zu", &most) != 1)
        most = 0;
    if (file)
        fclose(file);
    return most;
}

/* The system refuses to split a mapping once there are too many. free() has nobody to tell. */
static void errno_kept_when_mappings_run_out(void)
{
    size_t most = most_mappings(), used = 0, size = 4 << 20;
    if (most == 0 || most > 100000)
        return;
    size_t reserved = 2 * most * page;
    char *region = mmap(NULL, reserved, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE,
                        -1, 0);
    CHECK(region != MAP_FAILED);
    char *volatile blocks[5];
    for (int i = 0; i < 5; i++) {
        blocks[i] = malloc(size);
        CHECK(blocks[i]);
        fill(blocks[i], 1000, i);
    }
    while (used < most && mprotect(region + 2 * used * page, page, PROT_READ) == 0)
        used++;
    CHECK(used < most);
    KEEPS(free(blocks[2]));
    errno = 0;
    char *volatile moved = realloc(blocks[1], 2 * size);
    CHECK(moved || errno == ENOMEM);
    blocks[1] = moved ? moved : blocks[1];
    KEEPS(free(blocks[3]));
    CHECK(munmap(region, reserved) == 0);
    CHECK(holds(blocks[0], 1000, 0) && holds(blocks[1], 1000, 1) && holds(blocks[4], 1000, 4));
    blocks[2] = malloc(size);
    CHECK(blocks[2]);
    fill(blocks[2], size, 2);
    KEEPS(free(blocks[0]));
    KEEPS(free(blocks[1]));
    KEEPS(free(blocks[2]));
    KEEPS(free(blocks[4]));
}

/* --- Blocks that others make --- */

static void texts_from_libc(void)
{
    static const wchar_t wide[] = L"wide text";
    char *volatile a = strndup("a text that is cut", 6);
    CHECK(a && strcmp(a, "a text") == 0);
    free(a);
    wchar_t *volatile w = wcsdup(wide);
    CHECK(w && wcscmp(w, wide) == 0);
    free(w);
    a = realpath("/", NULL);
    CHECK(a && strcmp(a, "/") == 0);
    free(a);
    a = getcwd(NULL, 0);
    CHECK(a && a[0] == '/');
    free(a);
    char *printed = NULL;
    CHECK(asprintf(&printed, "%0300000d", 7) == 300000 && printed[299999] == '7');
    printed = realloc(printed, 400000);
    CHECK(printed && printed[299999] == '7');
    free(printed);
    struct dirent **entries = NULL;
    int count = scandir("/proc/self", &entries, NULL, alphasort);
    CHECK(count > 2);
    for (int i = 0; i < count; i++)
        free(entries[i]);
    free(entries);
}

static void streams_from_libc(void)
{
    char *text = NULL, *line = NULL;
    size_t length = 0, room = 0;
    FILE *out = open_memstream(&text, &length);
    CHECK(out);
    for (int i = 0; i < 20; i++)
        fprintf(out, "%0*d\n", 1 + i * i * 50, i);
    CHECK(fclose(out) == 0 && strlen(text) == length);
    FILE *in = fmemopen(text, length, "r");
    CHECK(in);
    for (int i = 0; i < 20; i++) {
        CHECK(getline(&line, &room, in) == 2 + i * i * 50);
        CHECK(malloc_usable_size(line) >= room && atoi(line) == i);
    }
    CHECK(getline(&line, &room, in) == -1);
    rewind(in);
    free(line);
    line = NULL;
    room = 0;
    CHECK(getdelim(&line, &room, '\0', in) == (ssize_t)length && strcmp(line, text) == 0);
    fclose(in);
    free(line);
    free(text);
}

/* --- Cancellation --- */

static atomic_int reached;

/* None of these is a cancellation point. */
static void *cancelled(void *unused)
{
    int null = open("/dev/null", O_WRONLY);
    int saved = dup(2);
    char *volatile inherited = malloc(100);
    void *aligned = NULL;
    CHECK(null >= 0 && saved >= 0 && inherited);
    dup2(null, 2);
    pthread_cancel(pthread_self());
    char *volatile p = malloc(2000);
    p = realloc(p, 5 << 20);
    p = realloc(p, 10);
    free(p);
    p = calloc(100, 100);
    CHECK(is_zero(p, 10000));
    free(p);
    CHECK(posix_memalign(&aligned, 4096, 100000) == 0);
    free(aligned);
    p = malloc(4 << 20);
    reached = 1;
    malloc_stats();
    reached = 2;
    malloc_trim(0);
    mallinfo2();
    mallopt(M_MXFAST, 128);
    CHECK(malloc_usable_size(inherited) >= 100);
    CHECK(malloc(widest) == NULL && calloc(widest, 2) == NULL);
    free(p);
    free(inherited);
    dup2(saved, 2);
    reached = 3;
    pthread_testcancel();
    reached = 4;
    return unused;
}

static void no_cancellation_points(void)
{
    pthread_t thread;
    void *result = NULL;
    int lowest = dup(2);
    CHECK(pthread_create(&thread, NULL, cancelled, NULL) == 0);
    CHECK(pthread_join(thread, &result) == 0);
    CHECK(reached == 3 && result == PTHREAD_CANCELED);
    close(lowest + 1);
    close(lowest + 2);
    close(lowest);
}

/* --- Threads --- */

#define THREADS 4
#define BLOCKS 20000
#define BOXES 500

struct parcel {
    size_t size;
    size_t key;
    unsigned char bytes[];
};

static struct parcel *_Atomic boxes[BOXES];

static struct parcel *packed(unsigned *seed)
{
    size_t size = rand_r(seed) % 1000 == 0 ? 300000 : rand_r(seed) % (1 << rand_r(seed) % 13);
    struct parcel *made = malloc(sizeof(struct parcel) + size);
    CHECK(is_aligned(made, 16));
    made->size = size;
    made->key = rand_r(seed) % KEYS;
    fill(made->bytes, size, made->key);
    return made;
}

static void unpack(struct parcel *got, unsigned *seed)
{
    if (got == NULL)
        return;
    CHECK(holds(got->bytes, got->size, got->key));
    if (rand_r(seed) % 4 == 0) {
        got = realloc(got, sizeof(struct parcel) + got->size + 100);
        CHECK(got && holds(got->bytes, got->size, got->key));
    }
    free(got);
}

static void *sends_and_takes(void *argument)
{
    unsigned seed = (uintptr_t)argument;
    for (int i = 0; i < BLOCKS; i++) {
        struct parcel *made = packed(&seed);
        unpack(atomic_exchange(&boxes[rand_r(&seed) % BOXES], made), &seed);
    }
    return NULL;
}

static void handed_over(void)
{
    pthread_t threads[THREADS];
    unsigned seed = 1;
    for (uintptr_t i = 0; i < THREADS; i++)
        CHECK(pthread_create(&threads[i], NULL, sends_and_takes, (void *)(i + 1)) == 0);
    for (int i = 0; i < THREADS; i++)
        CHECK(pthread_join(threads[i], NULL) == 0);
    for (int i = 0; i < BOXES; i++)
        unpack(atomic_exchange(&boxes[i], NULL), &seed);
}

/* --- Processes --- */

#define BUSY 3
#define FORKERS 2
#define FORKS 80
#define INHERITED 60

static atomic_int stop;

static void *busy(void *argument)
{
    unsigned seed = (uintptr_t)argument;
    char *slots[50] = {0};
    while (!stop) {
        int i = rand_r(&seed) % 50;
        size_t size = 1 + rand_r(&seed) % (rand_r(&seed) % 100 ? 4000 : 300000);
        if (rand_r(&seed) % 3 == 0) {
            slots[i] = realloc(slots[i], size);
        } else {
            free(slots[i]);
            slots[i] = rand_r(&seed) % 2 ? malloc(size) : memalign(64, size);
        }
        CHECK(slots[i]);
        slots[i][0] = slots[i][size - 1] = 1;
    }
    for (int i = 0; i < 50; i++)
        free(slots[i]);
    return NULL;
}

static size_t inherited_size(int i)
{
    return i == 0 ? 2 << 20 : 1 + i * i * 3;
}

static void renew(char **blocks, int i)
{
    free(blocks[i]);
    blocks[i] = malloc(inherited_size(i));
    CHECK(blocks[i]);
    fill(blocks[i], inherited_size(i), i);
}

static void *in_a_thread_of_the_child(void *argument)
{
    free(argument);
    char *volatile p = malloc(3000);
    fill(p, 3000, 1);
    return p;
}

/* A child that hangs is killed, and the parent tells. */
static void child(char **blocks, int number)
{
    alarm(30);
    for (int i = 0; i < INHERITED; i++) {
        CHECK(holds(blocks[i], inherited_size(i), i));
        if (i % 3 == 0)
            renew(blocks, i);
        else if (i % 3 == 1)
            blocks[i] = realloc(blocks[i], 2 * inherited_size(i) + 100);
        CHECK(holds(blocks[i], inherited_size(i), i));
    }
    char *volatile clean = calloc(1, 200000);
    CHECK(is_zero(clean, 200000));
    free(clean);
    if (number % 8 == 0) {
        pthread_t thread;
        void *made = NULL;
        char *given = strdup("given to the thread");
        CHECK(pthread_create(&thread, NULL, in_a_thread_of_the_child, given) == 0);
        CHECK(pthread_join(thread, &made) == 0 && holds(made, 3000, 1));
        free(made);
    }
    for (int i = 0; i < INHERITED; i++)
        free(blocks[i]);
    _exit(0);
}

static void spawns(void)
{
    char *arguments[] = {"true", NULL};
    pid_t pid = -1;
    int status = -1;
    CHECK(posix_spawn(&pid, "/bin/true", NULL, NULL, arguments, environ) == 0);
    CHECK(waitpid(pid, &status, 0) == pid && status == 0);
}

static void *forks(void *unused)
{
    char *blocks[INHERITED] = {0};
    for (int i = 0; i < INHERITED; i++)
        renew(blocks, i);
    for (int number = 0; number < FORKS; number++) {
        int status = -1;
        pid_t pid = fork();
        if (pid == 0)
            child(blocks, number);
        CHECK(pid > 0 && waitpid(pid, &status, 0) == pid && status == 0);
        renew(blocks, number % INHERITED);
        if (number % 8 == 0)
            spawns();
        if (number % 8 == 4) {
            malloc_trim(0);
            CHECK(mallinfo2().uordblks >= 60000);
            described_as_xml();
        }
    }
    for (int i = 0; i < INHERITED; i++)
        free(blocks[i]);
    return unused;
}

static void forked_while_busy(void)
{
    pthread_t busy_threads[BUSY], forkers[FORKERS];
    for (uintptr_t i = 0; i < BUSY; i++)
        CHECK(pthread_create(&busy_threads[i], NULL, busy, (void *)(i + 1)) == 0);
    for (int i = 0; i < FORKERS; i++)
        CHECK(pthread_create(&forkers[i], NULL, forks, NULL) == 0);
    for (int i = 0; i < FORKERS; i++)
        CHECK(pthread_join(forkers[i], NULL) == 0);
    stop = 1;
    for (int i = 0; i < BUSY; i++)
        CHECK(pthread_join(busy_threads[i], NULL) == 0);
}

static void prepare(void)
{
    page = sysconf(_SC_PAGESIZE);
    for (size_t i = 0; i < sizeof(pattern); i++)
        pattern[i] = (i * 2654435761u) >> 13;
}

/* While nothing is tuned yet. glibc moves its threshold up when it frees a mapped block. */
static void with_moving_threshold(void)
{
    mapped_block_counts(4 << 20);
    small_blocks_count();
    old_form_agrees();
    described_as_xml();
    resized_from_each_to_each();
    resized_in_small_steps();
}

static void with_fixed_threshold(void)
{
    tunables();
    mapped_from_the_threshold_on();
    odd_tunables();
    resized_from_each_to_each();
    for (size_t size = 1; size <= 4 << 20; size *= 16)
        errno_kept_by_success(size);
    errno_kept_when_mappings_run_out();
}

int main(void)
{
    printf("api_behaviour: start\n");
    fflush(stdout);
    prepare();
    with_moving_threshold();
    with_fixed_threshold();
    all_too_large();
    resize_refused(malloc(1), 1);
    resize_refused(memalign(4096, 5000), 5000);
    resize_refused(calloc(1, 4 << 20), 4 << 20);
    products();
    refused_quickly();
    all_alignments();
    uneven_alignments();
    impossible_alignments();
    whole_pages();
    usable();
    zero_after_dirt();
    texts_from_libc();
    streams_from_libc();
    no_cancellation_points();
    handed_over();
    forked_while_busy();
    printf("api_behaviour: end\n");
    return 0;
}
