/* Correct: blocks are allocated 10000 calls deep and freed on the way back. */
#include <stdio.h>
#include <stdlib.h>

#define DEPTH 10000

__attribute__((noinline)) static char *make_block(int depth)
{
    char *p = malloc(1 + depth % 200);
    p[0] = (char)depth;
    return p;
}

__attribute__((noinline)) static void release_block(char *p)
{
    free(p);
}

__attribute__((noinline)) static long descend(int depth)
{
    if (depth == DEPTH)
        return 0;
    char *p = make_block(depth);
    long right = descend(depth + 1) + (p[0] == (char)depth);
    release_block(p);
    return right;
}

int main(void)
{
    printf("deep_recursion: start\n");
    fflush(stdout);
    printf("deep_recursion: %s\n", descend(0) == DEPTH ? "ok" : "broken");
    printf("deep_recursion: end\n");
    return 0;
}
