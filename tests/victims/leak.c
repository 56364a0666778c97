/* Planted: three blocks of 100 bytes are lost, while a block of 500 bytes stays reachable. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static char *kept;

__attribute__((noinline)) static char *make_block(void)
{
    return malloc(500);
}

__attribute__((noinline)) static void leak_direct(void)
{
    char *volatile p = malloc(100);
    strcpy(p, "lost");
#ifdef FIXED
    free(p);
#endif
    p = NULL;
}

/* Leaves no copy of an old pointer in the dead part of the stack. */
__attribute__((noinline)) static void scrub_stack(void)
{
    volatile char dead[4096];
    for (size_t i = 0; i < sizeof dead; i++)
        dead[i] = 0;
}

int main(void)
{
    printf("leak: start\n");
    fflush(stdout);
    kept = make_block();
    for (int i = 0; i < 3; i++)
        leak_direct();
    scrub_stack();
#ifdef FIXED
    free(kept);
#endif
    printf("leak: end\n");
    return 0;
}
