// Uses blocks of many sizes correctly, then makes one wrong read of a block of 13 bytes: right behind it, right in front
// of it, or after its free.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static volatile char sink;

int main(int count, char **words)
{
    const char *word = count > 1 ? words[1] : "";
    for (int size = 1; size < 200; size++) {
        char *block = memset(malloc(size), 1, size);
        block = realloc(block, size + 3);
        char *zeroed = calloc(size, 3);
        sink = zeroed[3 * size - 1];
        free(block);
        free(zeroed);
    }
    // The hundredth block of its site, so that turns would put its guard on one side.
    char *volatile block = 0;
    for (int at = 0; at < 100; at++) {
        free(block);
        block = malloc(13);
    }
    if (!strcmp(word, "behind"))
        sink = block[13];
    if (!strcmp(word, "front"))
        sink = block[-1];
    free(block);
    if (!strcmp(word, "freed"))
        sink = block[5];
    puts("end");
    return 0;
}
