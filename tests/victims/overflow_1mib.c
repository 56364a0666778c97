/* Planted: a write of 1 MiB past the end of one of 40000 blocks of 64 bytes. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define COUNT 40000
#define SIZE 64
#ifdef FIXED
#define EXTRA 0
#else
#define EXTRA (1024 * 1024)
#endif

static char *blocks[COUNT];

__attribute__((noinline)) static char *make_block(void)
{
    return malloc(SIZE);
}

__attribute__((noinline)) static void break_it(char *volatile p)
{
    memset(p, 'x', SIZE + EXTRA);
}

__attribute__((noinline)) static void release_block(char *p)
{
    free(p);
}

int main(void)
{
    printf("overflow_1mib: start\n");
    fflush(stdout);
    for (int i = 0; i < COUNT; i++)
        blocks[i] = make_block();
    /* The middle: there are neighbours enough on either side. */
    break_it(blocks[COUNT / 2]);
    for (int i = 0; i < COUNT; i++)
        release_block(blocks[i]);
    printf("overflow_1mib: end\n");
    return 0;
}
