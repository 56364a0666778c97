/* Planted: a pointer that is no canonical address (0x4141414141414141) is freed. */
#include <stdio.h>
#include <stdlib.h>

__attribute__((noinline)) static void *make_block(void)
{
#ifdef FIXED
    return malloc(64);
#else
    return (void *)0x4141414141414141;
#endif
}

__attribute__((noinline)) static void break_it(void *volatile p)
{
    free(p);
}

int main(void)
{
    printf("free_noncanonical: start\n");
    fflush(stdout);
    void *p = make_block();
    break_it(p);
    printf("free_noncanonical: end\n");
    return 0;
}
