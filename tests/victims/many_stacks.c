/* 131,072 different stacks, each of which allocates and frees; then a block is lost by one that nobody knew before. */
#include <stdlib.h>

static void *volatile kept;

__attribute__((noinline)) static void one(int depth, int way);
__attribute__((noinline)) static void two(int depth, int way);

static void on(int depth, int way) {
    if (depth == 0) {
        kept = malloc(24);
        free(kept);
        return;
    }
    if (way & 1)
        one(depth - 1, way >> 1);
    else
        two(depth - 1, way >> 1);
}

void one(int depth, int way) { on(depth, way); __asm__ volatile(""); }
void two(int depth, int way) { on(depth, way); __asm__ volatile(""); }

__attribute__((noinline)) static void innermost(void) { kept = malloc(77); __asm__ volatile(""); }
__attribute__((noinline)) static void outermost(void) { innermost(); __asm__ volatile(""); }

int main(void) {
    for (int way = 0; way < 1 << 17; way++)
        on(17, way);
    outermost();
    kept = 0;
    return 0;
}
