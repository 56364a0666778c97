/* Correct: malloc() and its relatives refuse what they cannot do, and keep errno otherwise. */
#define NAME "api_errors"
#include "api_checks.h"
#include <sys/mman.h>
#include <time.h>

#define REFUSED(call) (errno = 0, (call) == NULL && errno == ENOMEM)
#define KEEPS(statement) do { errno = KEPT; statement; CHECK(errno == KEPT); } while (0)

/* A compiler does not know their values, so that it keeps the calls and has nothing to warn of. */
static volatile size_t zero = 0, one = 1, widest = SIZE_MAX, farthest = PTRDIFF_MAX;

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

/* --- errno --- */

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

int main(void)
{
    prepare();
    tune();
    for (size_t size = 1; size <= 4 << 20; size *= 16)
        errno_kept_by_success(size);
    errno_kept_when_mappings_run_out();
    all_too_large();
    resize_refused(malloc(1), 1);
    resize_refused(memalign(4096, 5000), 5000);
    resize_refused(calloc(1, 4 << 20), 4 << 20);
    products();
    refused_quickly();
    impossible_alignments();
    printf(NAME ": end\n");
    return 0;
}
