/* Planted: the address of a local array is freed. */
#include <stdio.h>
#include <stdlib.h>

__attribute__((noinline)) static char *make_block(char *local)
{
#ifdef FIXED
    (void)local;
    return malloc(64);
#else
    return local;
#endif
}

__attribute__((noinline)) static void break_it(void)
{
    char local[64] = "on the stack";
    char *volatile p = make_block(local);
    free(p);
}

int main(void)
{
    printf("free_stack: start\n");
    fflush(stdout);
    break_it();
    printf("free_stack: end\n");
    return 0;
}
