/* Ends with a status that looks like a signal's, refused or not; with "wrong": has an error of its own, too. */
#include <stdlib.h>
#include <string.h>

static void *take(size_t size)
{
    void *block = malloc(size);
    if (!block)
        exit(-1);
    return block;
}

int main(int argc, char **argv)
{
    char *first = take(60);
    char *second = take(70);
    if (argc > 1 && !strcmp(argv[1], "wrong")) {
        free(second);
        free(second);
    } else {
        free(second);
    }
    free(first);
    return 200;
}
