/* Planted: free, realloc and malloc_usable_size of 1500 values: random ones, and the edges of every
   mapping of the process, its own tables and the checker's included. Not for halt_on_error=1. */
#include <malloc.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

static void try_value(uint64_t value)
{
    free((void *)value);
    if (realloc((void *)value, 10) == NULL)
        (void)malloc_usable_size((void *)value);
}

static int try_mappings(void)
{
    static uint64_t edges[4096];
    int count = 0;
    FILE *maps = fopen("/proc/self/maps", "r");
    unsigned long start, end;
    while (count < 4000 && fscanf(maps, "%lx-%lx %*[^\n]\n", &start, &end) == 2) {
        edges[count++] = start;
        edges[count++] = start + 16;
        edges[count++] = start + 4096 + 8;
        edges[count++] = end - 16;
    }
    fclose(maps);
    for (int i = 0; i < count; i++)
        try_value(edges[i]);
    return count;
}

int main(void)
{
    printf("free_anything: start\n");
    fflush(stdout);
    uint64_t state = 88172645463325252ull;
    for (int i = 0; i < 300; i++) {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        try_value(state >> (i % 3 * 12));
    }
    int edges = try_mappings();
    printf("free_anything: %s\n", edges > 40 ? "end" : "no mappings");
    return 0;
}
