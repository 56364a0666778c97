/* Another mapping right behind the break: the heap cannot grow there, and goes on somewhere else. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum { BLOCKS = 60000, ROUNDS = 12, PAGE = 4096 };
static char *blocks[BLOCKS];
static size_t sizes[BLOCKS];

int main(void) {
    char *end = sbrk(0);
    end += (PAGE - (size_t)end % PAGE) % PAGE + 64 * PAGE;
    if (mmap(end, PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0) != end) return 1;
    unsigned random = 1;
    for (int round = 0; round < ROUNDS; round++) {
        for (int i = 0; i < BLOCKS; i++) {
            random = random * 1103515245 + 12345;
            sizes[i] = 16 + (random >> 16) % 500;
            if (!(blocks[i] = malloc(sizes[i]))) return 2;
            memset(blocks[i], i & 127, sizes[i]);
        }
        for (int i = 0; i < BLOCKS; i++) {
            int at = (i * 7919L) % BLOCKS;
            if (blocks[at][0] != (at & 127) || blocks[at][sizes[at] - 1] != (at & 127)) return 3;
            free(blocks[at]);
        }
    }
    puts("break: end");
    return 0;
}
