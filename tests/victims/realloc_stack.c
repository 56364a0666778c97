/* Planted: the address of a local array is reallocated. */
#include <stdio.h>
#include <stdlib.h>

__attribute__((noinline)) static char *make_block(char *local)
{
#ifdef FIXED
    (void)local;
    return malloc(64);
#else
    return local;
#endif
}

__attribute__((noinline)) static char *break_it(void)
{
    char local[64] = "on the stack";
    char *volatile p = make_block(local);
    return realloc(p, 128);
}

__attribute__((noinline)) static void release_block(char *p)
{
    free(p);
}

int main(void)
{
    printf("realloc_stack: start\n");
    fflush(stdout);
    char *p = break_it();
    release_block(p);
    printf("realloc_stack: end\n");
    return 0;
}
