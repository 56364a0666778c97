/* Planted: an assertion fails. */
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

__attribute__((noinline)) static void check(int number)
{
    assert(number == 1);
}

int main(void)
{
    printf("fault_abort: start\n");
    fflush(stdout);
    free(malloc(10));
    /* What assert says names the program's path. */
    freopen("/dev/null", "w", stderr);
#ifdef FIXED
    check(1);
#else
    check(2);
#endif
    printf("fault_abort: end\n");
    return 0;
}
