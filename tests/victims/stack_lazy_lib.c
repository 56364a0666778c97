/* A function that is chosen when it is first called, by a resolver that allocates. */
#include <stdlib.h>

static void *volatile kept;

static int answer(int half)
{
    return 2 * half;
}

static int (*choose(void))(int)
{
    for (int i = 0; i < 2000; i++) {
        free(kept);
        kept = malloc(100);
    }
    free(kept);
    return answer;
}

int chosen(int half) __attribute__((ifunc("choose")));
