/* Planted: a block of 24 bytes is freed with free_sized() and the size 8. */
#include <stdio.h>
#include <stdlib.h>

#ifdef FIXED
#define SIZE 24
#else
#define SIZE 8
#endif

/* C23; glibc 2.36 does not have it, and then it is null. */
extern void free_sized(void *p, size_t size) __attribute__((weak));

__attribute__((noinline)) static void *make_block(void)
{
    return malloc(24);
}

__attribute__((noinline)) static void break_it(void *volatile p)
{
    if (free_sized)
        free_sized(p, SIZE);
    else
        free(p);
}

int main(void)
{
    printf("free_sized_wrong: start\n");
    fflush(stdout);
    void *p = make_block();
    break_it(p);
    printf("free_sized_wrong: end\n");
    return 0;
}
