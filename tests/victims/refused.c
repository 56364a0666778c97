/* Three planted faults where memory is refused: one use of NULL, one leak on the way out, one success that is none. All
 * else is handled. With an argument: instead, a loop that waits for memory for ever. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static char *copy(const char *text)
{
    char *to = malloc(strlen(text) + 1);
    if (to)
        strcpy(to, text);
    return to;
}

static char *crashes(void)
{
    char *block = malloc(100);
    block[0] = 'c';
    return block;
}

static int leaks(void)
{
    char *first = malloc(200);
    if (!first)
        return -1;
    char *second = malloc(300);
    if (!second)
        return -1; /* and first? */
    free(second);
    free(first);
    return 0;
}

static int lies(void)
{
    char *name = copy("the right answer");
    puts(name ? name : "no answer");
    free(name);
    return 0;
}

static int waits(void)
{
    char *block;
    while (!(block = malloc(400)) && !getenv("STOP_WAITING"))
        for (volatile int i = 0; i < 1000; i++)
            if (i == 999)
                i = 0;
    free(block);
    return 0;
}

static int handled(void)
{
    char *list[4] = {0};
    int result = 0;
    for (int i = 0; i < 4; i++)
        if (!(list[i] = malloc(500 + i)))
            result = 1;
    for (int i = 0; i < 4; i++)
        free(list[i]);
    return result;
}

int main(int argc, char **argv)
{
    setvbuf(stdout, NULL, _IONBF, 0);
    (void)argv;
    if (argc > 1)
        return waits();
    if (handled())
        return 3;
    free(crashes());
    if (leaks())
        return 4;
    return lies();
}
