/* Frames of all shapes that compilers make: realigned, grown by alloca, with and without a frame pointer,
 * larger than a MiB, left by a call that does not return; callbacks through libc. */
#include <alloca.h>
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static jmp_buf back;
static void *kept[64];
static unsigned turn;

__attribute__((noinline)) static void touch(void)
{
    unsigned at = turn++ % 64;
    free(kept[at]);
    kept[at] = malloc(16 + at);
}

__attribute__((noinline)) static void aligned(int depth);
__attribute__((noinline)) static void grown(int depth);
__attribute__((noinline, optimize("no-omit-frame-pointer"))) static void framed(int depth);
__attribute__((noinline)) static void large(int depth);
__attribute__((noinline)) static void last(int depth);
__attribute__((noinline)) static void sorted(int depth);

static void (*const shapes[])(int) = {aligned, grown, framed, large, sorted, last};

static void descend(int depth)
{
    touch();
    if (depth > 0)
        shapes[(unsigned)(depth * 7 + turn) % 5](depth - 1);
    touch();
}

static void aligned(int depth)
{
    volatile char __attribute__((aligned(128))) line[256];
    line[depth % 256] = 1;
    volatile char *more = alloca(depth * 8 + 8);
    more[0] = 2;
    descend(depth);
    line[0] = more[0];
}

static void grown(int depth)
{
    volatile char *more = alloca((turn % 50 + 1) * 16);
    more[0] = 1;
    descend(depth);
    more[1] = 2;
}

static void framed(int depth)
{
    descend(depth);
    touch();
}

static void large(int depth)
{
    volatile char room[1200 << 10];
    room[0] = 1;
    if (depth % 4 == 0)
        descend(depth > 2 ? 2 : 0);
    touch();
    room[1] = 2;
}

static int compare(const void *one, const void *other)
{
    touch();
    return *(const int *)one - *(const int *)other;
}

static void sorted(int depth)
{
    int numbers[] = {5, 3, 9, 1, depth};
    qsort(numbers, 5, sizeof *numbers, compare);
    descend(depth);
    touch();
}

__attribute__((noreturn, noinline)) static void leave(void)
{
    touch();
    longjmp(back, 1);
}

static void last(int depth)
{
    (void)depth;
    touch();
    leave();
}

int main(void)
{
    for (int round = 0; round < 20000; round++) {
        if (setjmp(back) == 0) {
            descend(round % 24);
            last(0);
        }
    }
    for (int i = 0; i < 64; i++)
        free(kept[i]);
    puts("all shapes");
    return 0;
}
