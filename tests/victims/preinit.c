/* malloc in a function that runs before libc is initialised; a write past a block's end later. */
#include <stdio.h>
#include <stdlib.h>

static char *volatile block;

static void early(void) {
    block = malloc(100);
}

__attribute__((section(".preinit_array"), used)) static void (*preinit)(void) = early;

int main(int count, char **arguments) {
    if (count > 1)
        block[100] = 1;
    free(block);
    puts("end");
    return 0;
}
