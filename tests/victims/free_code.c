/* Planted: the address of a function is freed. */
#include <stdio.h>
#include <stdlib.h>

__attribute__((noinline)) static void break_it(void *volatile p)
{
    free(p);
}

__attribute__((noinline)) static void *make_block(void)
{
#ifdef FIXED
    return malloc(64);
#else
    return (void *)break_it;
#endif
}

int main(void)
{
    printf("free_code: start\n");
    fflush(stdout);
    void *p = make_block();
    break_it(p);
    printf("free_code: end\n");
    return 0;
}
