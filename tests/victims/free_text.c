/* Planted: a pointer that was overwritten with the text "AAAABBB" is freed. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

__attribute__((noinline)) static void *make_block(void)
{
#ifdef FIXED
    return malloc(64);
#else
    void *p;
    memcpy(&p, "AAAABBB", sizeof p);
    return p;
#endif
}

__attribute__((noinline)) static void break_it(void *volatile p)
{
    free(p);
}

int main(void)
{
    printf("free_text: start\n");
    fflush(stdout);
    void *p = make_block();
    break_it(p);
    printf("free_text: end\n");
    return 0;
}
