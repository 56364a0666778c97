/* Planted: a breakpoint instruction without a debugger. */
#include <stdio.h>
#include <stdlib.h>

__attribute__((noinline)) static void stop_here(void)
{
#ifndef FIXED
    __asm__ volatile("int3");
#endif
}

int main(void)
{
    printf("fault_breakpoint: start\n");
    fflush(stdout);
    free(malloc(10));
    stop_here();
    printf("fault_breakpoint: end\n");
    return 0;
}
