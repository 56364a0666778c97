/* Planted: a write of 4096 bytes before the start of one of 512 blocks of 100 bytes. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define COUNT 512
#define SIZE 100
#ifdef FIXED
#define BEFORE 0
#else
#define BEFORE 4096
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
    printf("underflow_4096: start\n");
    fflush(stdout);
    for (int i = 0; i < COUNT; i++)
        blocks[i] = make_block();
    /* The middle: there are neighbours enough on either side. */
    break_it(blocks[COUNT / 2]);
    for (int i = 0; i < COUNT; i++)
        release_block(blocks[i]);
    printf("underflow_4096: end\n");
    return 0;
}
