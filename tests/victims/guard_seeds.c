/* Reads one byte past each of 100 blocks of one site. */
#include <stdlib.h>

static volatile char sink;

int main(void) {
    for (int i = 0; i < 100; i++) {
        char *volatile block = malloc(32);
        sink = block[32];
        free(block);
    }
    return 0;
}
