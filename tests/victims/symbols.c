/* Loses a block in a function that is inlined. */
#include <stdlib.h>

static inline __attribute__((always_inline)) void inlined(void)
{
    *(void *volatile *)&(void *){malloc(1234)} = NULL;
}

__attribute__((noinline)) void outer(void)
{
    inlined();
}

int main(void)
{
    outer();
    return 0;
}
