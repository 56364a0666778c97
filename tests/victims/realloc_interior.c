/* Planted: a pointer 16 bytes into a block of 64 bytes is reallocated. */
#include <stdio.h>
#include <stdlib.h>

__attribute__((noinline)) static char *make_block(void)
{
    return malloc(64);
}

__attribute__((noinline)) static char *break_it(char *p)
{
#ifdef FIXED
    char *volatile wrong = p;
#else
    char *volatile wrong = p + 16;
#endif
    return realloc(wrong, 128);
}

__attribute__((noinline)) static void release_block(char *p)
{
    free(p);
}

int main(void)
{
    printf("realloc_interior: start\n");
    fflush(stdout);
    char *p = make_block();
    p = break_it(p);
    release_block(p);
    printf("realloc_interior: end\n");
    return 0;
}
