/* Planted: an integer is divided by zero. */
#include <stdio.h>
#include <stdlib.h>

__attribute__((noinline)) static int divide(volatile int a, volatile int b)
{
    return a / b;
}

int main(void)
{
    printf("fault_divide: start\n");
    fflush(stdout);
    int *number = calloc(1, sizeof *number);
#ifdef FIXED
    *number = 1;
#endif
    int result = divide(0, *number);
    free(number);
    printf("fault_divide: end\n");
    return result;
}
