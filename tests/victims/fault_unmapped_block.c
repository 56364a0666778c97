/* Planted: a freed block that had a mapping of its own is read. */
#include <stdio.h>
#include <stdlib.h>

__attribute__((noinline)) static char *make_block(void)
{
    return calloc(1, 4 << 20);
}

__attribute__((noinline)) static void release_block(char *block)
{
    free(block);
    /* Nothing of it is kept: others are freed after it. */
    char *others[80];
    for (int number = 0; number < 80; number++)
        others[number] = calloc(1, 8 << 20);
    for (int number = 0; number < 80; number++)
        free(others[number]);
}

__attribute__((noinline)) static int look(char *volatile block)
{
    return block[1 << 20];
}

int main(void)
{
    printf("fault_unmapped_block: start\n");
    fflush(stdout);
    char *block = make_block();
#ifdef FIXED
    int byte = look(block);
    release_block(block);
#else
    release_block(block);
    int byte = look(block);
#endif
    printf("fault_unmapped_block: end\n");
    return byte;
}
