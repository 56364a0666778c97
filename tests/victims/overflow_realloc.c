/* Planted: a block of 50 bytes is overrun by 3 and then reallocated. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SIZE 50
#ifdef FIXED
#define EXTRA 0
#else
#define EXTRA 3
#endif

__attribute__((noinline)) static char *make_block(void)
{
    return malloc(SIZE);
}

__attribute__((noinline)) static char *break_it(char *volatile p)
{
    memset(p, 'x', SIZE + EXTRA);
    return realloc(p, 10 * SIZE);
}

__attribute__((noinline)) static void release_block(char *p)
{
    free(p);
}

int main(void)
{
    printf("overflow_realloc: start\n");
    fflush(stdout);
    char *p = make_block();
    p = break_it(p);
    release_block(p);
    printf("overflow_realloc: end\n");
    return 0;
}
