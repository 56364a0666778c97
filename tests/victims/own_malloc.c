/* A program with a malloc of its own and a double free. */
#include <stddef.h>
#include <stdio.h>
#include <string.h>

static char memory[1 << 20];
static size_t used;

void *malloc(size_t size) {
    void *block = memory + used;
    used += (size + 15) & ~(size_t)15;
    return block;
}

void *calloc(size_t count, size_t size) {
    return malloc(count * size);
}

void *realloc(void *old, size_t size) {
    void *block = malloc(size);
    if (old)
        memcpy(block, old, size);
    return block;
}

void free(void *block) {
    (void)block;
}

int main(void) {
    char *block = malloc(10);
    free(block);
    free(block);
    puts("end");
    return 0;
}
