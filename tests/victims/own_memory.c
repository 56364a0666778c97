/* Allocates in the usual ways, then prints what of the library's code is resident, in KiB. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { BLOCKS = 4096 };

static void allocate(void) {
    static void *blocks[BLOCKS];
    for (int i = 0; i < BLOCKS; i++)
        blocks[i] = i % 3 ? malloc(16 + i % 700) : calloc(1, 16 + i);
    for (int i = 0; i < BLOCKS; i += 2)
        blocks[i] = realloc(blocks[i], 32 + i * (i % 64 ? 1 : 100));
    for (int i = 0; i < BLOCKS; i++)
        free(blocks[i]);
    free(aligned_alloc(64, 640));
}

int main(void) {
    allocate();
    char line[5000], permissions[8];
    long resident, sum = 0;
    int is_code = 0;
    FILE *maps = fopen("/proc/self/smaps", "r");
    while (maps && fgets(line, sizeof line, maps)) {
        if (sscanf(line, "%*x-%*x %7s", permissions) == 1)
            is_code = strstr(line, "libmallocop.so") && permissions[2] == 'x';
        else if (is_code && sscanf(line, "Rss: %ld", &resident) == 1)
            sum += resident;
    }
    printf("code %ld\n", sum);
    return 0;
}
