/* Planted: a pointer 16 bytes before a block of 64 bytes is freed. */
#include <stdio.h>
#include <stdlib.h>

__attribute__((noinline)) static char *make_block(void)
{
    return malloc(64);
}

__attribute__((noinline)) static void break_it(char *p)
{
#ifdef FIXED
    char *volatile wrong = p;
#else
    char *volatile wrong = p - 16;
#endif
    free(wrong);
}

int main(void)
{
    printf("free_before: start\n");
    fflush(stdout);
    char *p = make_block();
    break_it(p);
    printf("free_before: end\n");
    return 0;
}
