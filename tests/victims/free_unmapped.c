/* Planted: an address where nothing is mapped is freed. */
#include <stdio.h>
#include <stdlib.h>

__attribute__((noinline)) static void *make_block(void)
{
#ifdef FIXED
    return malloc(64);
#else
    return (void *)0x123456789000;
#endif
}

__attribute__((noinline)) static void break_it(void *volatile p)
{
    free(p);
}

int main(void)
{
    printf("free_unmapped: start\n");
    fflush(stdout);
    void *p = make_block();
    break_it(p);
    printf("free_unmapped: end\n");
    return 0;
}
