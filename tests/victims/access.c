/* One write at one place: past, before or after free. Arguments: size, the place as an offset from the block's start, how
 * many bytes, their value; then `freed`, `live`, or a number of pairs of malloc and free between free and write. */
#include <stdlib.h>
#include <string.h>

int main(int count, char **arguments) {
    size_t size = strtoul(arguments[1], 0, 0);
    long at = strtol(arguments[2], 0, 0);
    size_t width = strtoul(arguments[3], 0, 0);
    int value = strtol(arguments[4], 0, 0);
    const char *then = arguments[5];
    char *volatile before = malloc(size), *volatile block = malloc(size), *volatile behind = malloc(size);
    memset(before, 0x11, size);
    memset(block, 0x22, size);
    memset(behind, 0x33, size);
    if (then[0] >= '0' && then[0] <= '9') {
        free(block);
        for (long pairs = strtol(then, 0, 0); pairs > 0; pairs--)
            free(malloc(size));
        memset(block + at, value, width);
        return 0;
    }
    memset(block + at, value, width);
    if (!strcmp(then, "freed"))
        free(block);
    free(before);
    free(behind);
    return 0;
}
