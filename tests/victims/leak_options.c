/* A program that exports its options (-rdynamic): no leak check but what MALLOCOP_OPTIONS says. */
#include <stdio.h>
#include <stdlib.h>

const char *__lsan_default_options(void)
{
    return "exitcode=9:verbosity=1:checks=none";
}

__attribute__((noinline)) static void leak(void)
{
    char *volatile p = malloc(1000);
    p = NULL;
}

int main(void)
{
    leak();
    printf("leak_options: end\n");
    return 0;
}
