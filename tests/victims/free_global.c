/* Planted: a pointer 16 bytes into a static array is freed. */
#include <stdio.h>
#include <stdlib.h>

#ifndef FIXED
static char config[64] = "not on the heap";
#endif

__attribute__((noinline)) static void *make_block(void)
{
#ifdef FIXED
    return malloc(64);
#else
    return config + 16;
#endif
}

__attribute__((noinline)) static void break_it(void *volatile p)
{
    free(p);
}

int main(void)
{
    printf("free_global: start\n");
    fflush(stdout);
    void *p = make_block();
    break_it(p);
    printf("free_global: end\n");
    return 0;
}
