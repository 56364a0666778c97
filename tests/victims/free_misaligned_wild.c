/* Planted: a wild, misaligned, unmapped pointer (0x41414141) is freed. */
#include <stdio.h>
#include <stdlib.h>

__attribute__((noinline)) static void *make_block(void)
{
#ifdef FIXED
    return malloc(64);
#else
    return (void *)0x41414141;
#endif
}

__attribute__((noinline)) static void break_it(void *volatile p)
{
    free(p);
}

int main(void)
{
    printf("free_misaligned_wild: start\n");
    fflush(stdout);
    void *p = make_block();
    break_it(p);
    printf("free_misaligned_wild: end\n");
    return 0;
}
