/* Correct: the heap is used before main, after it, in an exit handler and in a destructor. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static char *early, *late;

static void use_heap(const char *who)
{
    char *p = calloc(1, 100);
    strcpy(p, who);
    p = realloc(p, 1000);
    printf("early_calls: %s uses the heap\n", p);
    fflush(stdout);
    free(p);
}

__attribute__((constructor(101))) static void before_main(void)
{
    use_heap("constructor");
    early = malloc(200);
    strcpy(early, "from the constructor");
}

__attribute__((destructor(101))) static void after_main(void)
{
    use_heap("destructor");
    printf("early_calls: kept to the end: %s\n", late);
    fflush(stdout);
    free(late);
}

static void at_exit(void)
{
    use_heap("exit handler");
    late = malloc(300);
    strcpy(late, "from the exit handler");
}

int main(void)
{
    printf("early_calls: start\n");
    fflush(stdout);
    atexit(at_exit);
    use_heap("main");
    printf("early_calls: kept for main: %s\n", early);
    free(early);
    printf("early_calls: end\n");
    return 0;
}
