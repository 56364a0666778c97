/* Planted: a block of 64 bytes is freed a second time. */
#include <stdio.h>
#include <stdlib.h>

__attribute__((noinline)) static char *make_block(void)
{
    return malloc(64);
}

__attribute__((noinline)) static void release_block(char **p)
{
    free(*p);
#ifdef FIXED
    *p = NULL;
#endif
}

__attribute__((noinline)) static void break_it(char *volatile p)
{
    free(p);
}

int main(void)
{
    printf("double_free: start\n");
    fflush(stdout);
    char *p = make_block();
    release_block(&p);
    break_it(p);
    printf("double_free: end\n");
    return 0;
}
