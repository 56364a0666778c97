/* Planted: 8 bytes are written into a block of 64 bytes after it was freed. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

__attribute__((noinline)) static char *make_block(void)
{
    return malloc(64);
}

__attribute__((noinline)) static void release_block(char *p)
{
    free(p);
}

__attribute__((noinline)) static void break_it(char *volatile p)
{
    memset(p + 16, 'x', 8);
}

int main(void)
{
    printf("write_after_free: start\n");
    fflush(stdout);
    char *p = make_block();
#ifdef FIXED
    break_it(p);
    release_block(p);
#else
    release_block(p);
    break_it(p);
#endif
    printf("write_after_free: end\n");
    return 0;
}
