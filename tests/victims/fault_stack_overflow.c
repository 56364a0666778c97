/* Planted: a recursion that does not end. */
#include <stdio.h>
#include <stdlib.h>

__attribute__((noinline)) static long descend(long depth, volatile char *above)
{
    volatile char here[512];
    here[0] = above ? above[0] : 0;
#ifdef FIXED
    if (depth == 100)
        return here[0];
#endif
    return descend(depth + 1, here) + here[0];
}

int main(void)
{
    printf("fault_stack_overflow: start\n");
    fflush(stdout);
    char *block = malloc(10);
    long sum = descend(0, NULL);
    free(block);
    printf("fault_stack_overflow: end\n");
    return sum;
}
