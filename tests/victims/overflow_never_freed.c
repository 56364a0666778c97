/* Planted: a block of 40 bytes is overrun by 4 and never freed. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SIZE 40
#ifdef FIXED
#define EXTRA 0
#else
#define EXTRA 4
#endif

static char *kept;

__attribute__((noinline)) static char *make_block(void)
{
    return malloc(SIZE);
}

__attribute__((noinline)) static void break_it(char *volatile p)
{
    memset(p, 'x', SIZE + EXTRA);
}

int main(void)
{
    printf("overflow_never_freed: start\n");
    fflush(stdout);
    kept = make_block();
    break_it(kept);
    printf("overflow_never_freed: end\n");
    return 0;
}
