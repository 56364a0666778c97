/* Planted: calloc() is asked for a product that overflows, and must return NULL with ENOMEM. */
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#ifdef FIXED
static volatile size_t count = 100;
#else
static volatile size_t count = SIZE_MAX / 2;
#endif

__attribute__((noinline)) static void *make_block(void)
{
    return calloc(count, 3);
}

__attribute__((noinline)) static void break_it(void)
{
    errno = 0;
    void *p = make_block();
    int error = errno;
    printf("calloc: null %d errno %d\n", p == NULL, error);
    free(p);
}

int main(void)
{
    printf("calloc_overflow: start\n");
    fflush(stdout);
    break_it();
    printf("calloc_overflow: end\n");
    return 0;
}
