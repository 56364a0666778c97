/* Correct: the heap reports on itself, and tuning has the effect that glibc gives it. */
#define NAME "api_reports"
#include "api_checks.h"
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>

/* A compiler does not know its value, so that it keeps the calls and has nothing to warn of. */
static volatile size_t widest = SIZE_MAX;

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

/* --- Cancellation --- */

static atomic_int reached;
static int null_fd, saved_fd;

/* None of these is a cancellation point. */
static void *cancelled(void *unused)
{
    char *volatile early = malloc(100);
    void *aligned = NULL;
    CHECK(early);
    dup2(null_fd, 2);
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
    CHECK(malloc_usable_size(early) >= 100);
    CHECK(malloc(widest) == NULL && calloc(widest, 2) == NULL);
    free(p);
    free(early);
    dup2(saved_fd, 2);
    reached = 3;
    pthread_testcancel();
    reached = 4;
    return unused;
}

static void no_cancellation_points(void)
{
    pthread_t thread;
    void *result = NULL;
    null_fd = open("/dev/null", O_WRONLY);
    saved_fd = dup(2);
    CHECK(null_fd >= 0 && saved_fd >= 0);
    CHECK(pthread_create(&thread, NULL, cancelled, NULL) == 0);
    CHECK(pthread_join(thread, &result) == 0);
    CHECK(reached == 3 && result == PTHREAD_CANCELED);
    close(null_fd);
    close(saved_fd);
}

/* While nothing is tuned yet, glibc moves its threshold up when it frees a mapped block. */
int main(void)
{
    prepare();
    mapped_block_counts(4 << 20);
    small_blocks_count();
    old_form_agrees();
    described_as_xml();
    tunables();
    mapped_from_the_threshold_on();
    odd_tunables();
    no_cancellation_points();
    printf(NAME ": end\n");
    return 0;
}
