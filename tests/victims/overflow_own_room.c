/* Writes 8 bytes behind the canary of a block whose chunk is longer than it needs. */
#include <stdlib.h>
#include <string.h>

int main(void) {
    char *volatile block = malloc(1100), *volatile behind = malloc(1100);
    memset(block + 1112, 'A', 8);
    free(block);
    free(behind);
    return 0;
}
