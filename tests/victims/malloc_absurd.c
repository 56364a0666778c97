/* Planted: sizes above PTRDIFF_MAX are asked for, and must give NULL and ENOMEM and harm no live block. */
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#ifdef FIXED
static volatile size_t absurd = 1000, largest = 2000;
#else
static volatile size_t absurd = PTRDIFF_MAX + 1ul, largest = SIZE_MAX;
#endif

__attribute__((noinline)) static char *make_block(void)
{
    return malloc(64);
}

static void show(const char *what, void *p, int error)
{
    printf("%s: null %d errno %d\n", what, p == NULL, error);
}

__attribute__((noinline)) static char *break_it(char *block)
{
    errno = 0;
    void *p = malloc(absurd);
    show("malloc", p, errno);
    free(p);
    errno = 0;
    p = malloc(largest);
    show("malloc largest", p, errno);
    free(p);
    errno = 0;
    p = realloc(block, absurd);
    show("realloc", p, errno);
    block = p ? p : block;
    printf("kept %d\n", strcmp(block, "the old contents") == 0);
    return block;
}

__attribute__((noinline)) static void release_block(char *p)
{
    free(p);
}

int main(void)
{
    printf("malloc_absurd: start\n");
    fflush(stdout);
    char *p = make_block();
    strcpy(p, "the old contents");
    p = break_it(p);
    release_block(p);
    printf("malloc_absurd: end\n");
    return 0;
}
