/* Planted: the compiler's own trap instruction is reached. */
#include <stdio.h>
#include <stdlib.h>

__attribute__((noinline)) static void check(int is_sound)
{
    if (!is_sound)
        __builtin_trap();
}

int main(void)
{
    printf("fault_trap: start\n");
    fflush(stdout);
    free(malloc(10));
#ifdef FIXED
    check(1);
#else
    check(0);
#endif
    printf("fault_trap: end\n");
    return 0;
}
