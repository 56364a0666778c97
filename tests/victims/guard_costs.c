/* A million allocations of a thousand sites, few of them live at once; prints its page faults. */
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>

#define LIVE 500

static void *blocks[LIVE];
static unsigned next;

/* Each path from the top down to the bottom is a site. */
__attribute__((noinline)) static void *make(int depth, unsigned path, unsigned size) {
    void *volatile made;
    if (depth == 0)
        made = malloc(size);
    else if (path & 1)
        made = make(depth - 1, path >> 1, size);
    else
        made = make(depth - 1, path >> 1, size);
    return made;
}

int main(void) {
    for (unsigned i = 0; i < 1000000; i++) {
        next = next * 1103515245 + 12345;
        unsigned at = (next >> 8) % LIVE;
        free(blocks[at]);
        blocks[at] = make(10, next >> 12, 16 + (next >> 20) % 500);
    }
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    printf("%ld\n", usage.ru_minflt);
    return 0;
}
