/* Planted: a pointer 24 bytes past the end of a live block of 64 bytes is freed. */
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
    char *volatile wrong = p + 64 + 24;
#endif
    free(wrong);
}

int main(void)
{
    printf("free_after: start\n");
    fflush(stdout);
    char *p = make_block();
    break_it(p);
    printf("free_after: end\n");
    return 0;
}
