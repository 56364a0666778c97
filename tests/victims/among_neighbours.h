/* A row of COUNT blocks of SIZE bytes; the one in the middle is written BEFORE its start or PAST its
   end by so many bytes, through its neighbours. Then all are freed. NAME is the program's. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#ifdef FIXED
#undef BEFORE
#define BEFORE 0
#undef PAST
#define PAST 0
#endif

static char *blocks[COUNT];

__attribute__((noinline)) static char *make_block(void)
{
    return malloc(SIZE);
}

__attribute__((noinline)) static void break_it(char *volatile p)
{
    memset(p - BEFORE, 'x', BEFORE + SIZE + PAST);
}

__attribute__((noinline)) static void release_block(char *p)
{
    free(p);
}

int main(void)
{
    printf(NAME ": start\n");
    fflush(stdout);
    for (int i = 0; i < COUNT; i++)
        blocks[i] = make_block();
    break_it(blocks[COUNT / 2]);
    for (int i = 0; i < COUNT; i++)
        release_block(blocks[i]);
    printf(NAME ": end\n");
    return 0;
}
