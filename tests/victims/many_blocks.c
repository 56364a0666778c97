/* Three million live blocks, one of them lost. */
#include <stdio.h>
#include <stdlib.h>

int main(void) {
    enum { COUNT = 3000000 };
    static void **blocks;
    blocks = malloc(COUNT * sizeof *blocks);
    for (int i = 0; i < COUNT; i++)
        blocks[i] = malloc(24);
    blocks[5] = 0;
    puts("end");
    return 0;
}
