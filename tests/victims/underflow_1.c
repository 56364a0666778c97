/* Planted: a write of 1 byte before the start of one of 256 blocks of 48 bytes. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define COUNT 256
#define SIZE 48
#ifdef FIXED
#define BEFORE 0
#else
#define BEFORE 1
#endif

static char *blocks[COUNT];

__attribute__((noinline)) static char *make_block(void)
{
    return malloc(SIZE);
}

__attribute__((noinline)) static void break_it(char *volatile p)
{
    memset(p - BEFORE, 'x', BEFORE + SIZE);
}

__attribute__((noinline)) static void release_block(char *p)
{
    free(p);
}

int main(void)
{
    printf("underflow_1: start\n");
    fflush(stdout);
    for (int i = 0; i < COUNT; i++)
        blocks[i] = make_block();
    /* The middle: there are neighbours enough on either side. */
    break_it(blocks[COUNT / 2]);
    for (int i = 0; i < COUNT; i++)
        release_block(blocks[i]);
    printf("underflow_1: end\n");
    return 0;
}
