/* Planted: a block of 64 bytes is reallocated after it was freed. */
#include <stdio.h>
#include <stdlib.h>

__attribute__((noinline)) static char *make_block(void)
{
    return malloc(64);
}

__attribute__((noinline)) static void release_block(char *p)
{
    free(p);
}

__attribute__((noinline)) static char *break_it(char *volatile p)
{
    return realloc(p, 128);
}

int main(void)
{
    printf("realloc_freed: start\n");
    fflush(stdout);
    char *p = make_block();
#ifdef FIXED
    p = break_it(p);
    release_block(p);
#else
    release_block(p);
    p = break_it(p);
#endif
    printf("realloc_freed: end\n");
    return 0;
}
