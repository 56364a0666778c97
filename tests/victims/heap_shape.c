/* Correct but for the mode "invalid": shows the shape of the heap from outside; argv[1] is the mode. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <malloc.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define MANY 100000
#define LARGE (4 * 1024 * 1024)

static char *blocks[MANY];
static char *volatile block;

static void put(const char *text)
{
    if (write(1, text, strlen(text)) < 0)
        _exit(3);
}

/* The printing must not use the heap: a buffer of our own, no stdio stream. */
static void say(const char *key, long value)
{
    char line[100];
    snprintf(line, sizeof line, "%s %ld\n", key, value);
    put(line);
}

static long top(void)
{
    return (long)sbrk(0);
}

static void make_blocks(int count, size_t size)
{
    for (int i = 0; i < count; i++)
        blocks[i] = malloc(size);
}

static void release_blocks(int count)
{
    for (int i = count - 1; i >= 0; i--)
        free(blocks[i]);
}

/* The first two fields of /proc/self/statm, in pages. */
static void read_statm(long *size, long *resident)
{
    char text[200] = "";
    int fd = open("/proc/self/statm", O_RDONLY);
    if (read(fd, text, sizeof text - 1) < 0)
        _exit(3);
    close(fd);
    char *rest;
    *size = strtol(text, &rest, 10);
    *resident = strtol(rest, NULL, 10);
}

static void small(void)
{
    put("M1\n");
    block = malloc(4);
    put("M2\n");
}

static void large(void)
{
    put("M1\n");
    block = malloc(256 * 1024);
    put("M2\n");
    say("far", labs((long)block - top()) > 1L << 30);
}

static void many(void)
{
    put("M1\n");
    make_blocks(MANY, 32);
    put("M2\n");
}

static void zero(void)
{
    char *volatile first = malloc(0);
    char *volatile second = malloc(0);
    say("distance", labs(second - first));
}

static void usable(void)
{
    block = malloc(1000);
    say("usable", malloc_usable_size(block));
}

static void coalesce_large(void)
{
    uintptr_t first;
    for (int i = 0; i < 3; i++)
        blocks[i] = malloc(40000);
    block = malloc(40000);
    first = (uintptr_t)blocks[0];
    free(blocks[0]);
    free(blocks[1]);
    say("same", (uintptr_t)malloc(80000) == first);
}

static void coalesce_small(void)
{
    make_blocks(MANY, 32);
    block = malloc(32);
    release_blocks(MANY);
    long before = top();
    make_blocks(2000, 1024);
    say("grew", top() - before);
}

static void mapped_back(void)
{
    long size[3], resident;
    block = malloc(1); /* The first call of all may set up the heap, which is not to count. */
    read_statm(&size[0], &resident);
    block = malloc(LARGE);
    read_statm(&size[1], &resident);
    free(block);
    read_statm(&size[2], &resident);
    say("before", size[0]);
    say("mapped", size[1]);
    say("after", size[2]);
}

static void top_back(void)
{
    long start = top();
    make_blocks(10000, 1000);
    long full = top();
    release_blocks(10000);
    long back = top();
    say("start", 0);
    say("full", full - start);
    say("back", back - start);
}

static void hole(void)
{
    long start = top();
    make_blocks(10000, 1000);
    block = malloc(1000);
    release_blocks(10000);
    long kept = top();
    make_blocks(10000, 1000);
    long again = top();
    say("kept", kept - start);
    say("grew", again - kept);
}

static void physical(void)
{
    static const char *const names[] = { "before", "malloc", "memset", "free" };
    long size[4], resident[4];
    block = malloc(1);
    read_statm(&size[0], &resident[0]);
    block = malloc(LARGE);
    read_statm(&size[1], &resident[1]);
    memset(block, 1, LARGE);
    read_statm(&size[2], &resident[2]);
    free(block);
    read_statm(&size[3], &resident[3]);
    for (int i = 0; i < 4; i++) {
        char key[40];
        snprintf(key, sizeof key, "%s_size", names[i]);
        say(key, size[i]);
        snprintf(key, sizeof key, "%s_resident", names[i]);
        say(key, resident[i]);
    }
}

/* KiB of mappings for which huge pages are asked for ("hg" among the flags). */
static long asked_huge(void)
{
    static char text[1 << 20];
    long size = 0, sum = 0;
    size_t length = 0;
    ssize_t got;
    int fd = open("/proc/self/smaps", O_RDONLY);
    while ((got = read(fd, text + length, sizeof text - 1 - length)) > 0)
        length += got;
    close(fd);
    for (char *line = strtok(text, "\n"); line != NULL; line = strtok(NULL, "\n")) {
        if (strncmp(line, "Size:", 5) == 0)
            size = strtol(line + 5, NULL, 10);
        if (strncmp(line, "VmFlags:", 8) == 0 && strstr(line, " hg") != NULL)
            sum += size;
    }
    return sum;
}

/* A heap of 40 MB, then what a large block of which little is used adds, and what is left when all is free. */
static void huge(void)
{
    long size, before, full, sparse, back;
    mallopt(M_MMAP_THRESHOLD, 64 << 20);
    read_statm(&size, &before);
    for (int i = 0; i < MANY; i++) {
        blocks[i] = malloc(400);
        blocks[i][0] = 1;
    }
    say("asked", asked_huge());
    read_statm(&size, &full);
    block = malloc(48 << 20);
    for (size_t at = 0; at < 48 << 20; at += 4 << 20)
        block[at] = 1;
    read_statm(&size, &sparse);
    free(block);
    /* A few stay: pages between them go back. */
    for (int i = 0; i < MANY; i++)
        if (i % 1600 != 0)
            free(blocks[i]);
    malloc_trim(0);
    say("asked_still", asked_huge());
    read_statm(&size, &back);
    say("full", full - before);
    say("sparse", sparse - full);
    say("back", back - before);
}

static void api(void)
{
    volatile size_t half = SIZE_MAX / 2;
    block = realloc(NULL, 100);
    say("realloc_null", block != NULL);
    say("realloc_zero_null", realloc(block, 0) == NULL);
    block = calloc(100, 10);
    int zeros = 1;
    for (int i = 0; i < 1000; i++)
        zeros &= block[i] == 0;
    say("calloc_zeroed", zeros);
    errno = 0;
    say("calloc_overflow_null", calloc(half, 3) == NULL);
    say("calloc_overflow_enomem", errno == ENOMEM);
}

/* Does a block stay where it is that realloc makes much smaller? There is a free one of that size. */
static void shrink(void)
{
    free(malloc(100));
    block = malloc(1000);
    volatile uintptr_t before = (uintptr_t)block;
    block[99] = 7;
    block = realloc(block, 100);
    say("stays", (uintptr_t)block == before);
    say("kept", block[99] == 7);
}

static void invalid(void)
{
    static char array[256];
    block = array + 128;
    free(block);
}

int main(int argc, char **argv)
{
    static const struct {
        const char *name;
        void (*run)(void);
    } modes[] = {
        { "small", small }, { "large", large }, { "many", many }, { "zero", zero },
        { "usable", usable }, { "coalesce_large", coalesce_large }, { "coalesce_small", coalesce_small },
        { "mapped_back", mapped_back }, { "top_back", top_back }, { "hole", hole },
        { "physical", physical }, { "huge", huge }, { "api", api }, { "shrink", shrink }, { "invalid", invalid },
    };
    for (size_t i = 0; argc > 1 && i < sizeof modes / sizeof *modes; i++) {
        if (strcmp(argv[1], modes[i].name) == 0) {
            put("heap_shape: start\n");
            modes[i].run();
            put("heap_shape: end\n");
            return 0;
        }
    }
    put("heap_shape: no such mode\n");
    return 2;
}
