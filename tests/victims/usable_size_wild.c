/* Planted: malloc_usable_size() is asked about the address of a local array. */
#include <malloc.h>
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

__attribute__((noinline)) static char *break_it(char *local)
{
    char *volatile p = make_block(local);
    volatile size_t usable = malloc_usable_size(p);
    (void)usable;
    return p;
}

#ifdef FIXED
__attribute__((noinline)) static void release_block(char *p)
{
    free(p);
}
#endif

int main(void)
{
    printf("usable_size_wild: start\n");
    fflush(stdout);
    char local[64] = "on the stack";
    char *p = break_it(local);
#ifdef FIXED
    release_block(p);
#else
    (void)p;
#endif
    printf("usable_size_wild: end\n");
    return 0;
}
