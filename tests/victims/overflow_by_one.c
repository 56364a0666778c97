/* Planted: a string of 37 characters is copied to a block of 37 bytes, so that its NUL lies past the end. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#ifdef FIXED
#define SIZE 38
#else
#define SIZE 37
#endif

__attribute__((noinline)) static char *make_block(void)
{
    return malloc(SIZE);
}

__attribute__((noinline)) static void break_it(char *volatile p)
{
    const char *volatile text = "0123456789012345678901234567890123456";
    strcpy(p, text);
}

__attribute__((noinline)) static void release_block(char *p)
{
    free(p);
}

int main(void)
{
    printf("overflow_by_one: start\n");
    fflush(stdout);
    char *p = make_block();
    break_it(p);
    release_block(p);
    printf("overflow_by_one: end\n");
    return 0;
}
