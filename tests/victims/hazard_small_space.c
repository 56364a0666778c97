/* Correct: one large block, for a run in little address space. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int main(void)
{
    printf("hazard_small_space: start\n");
    char *block = malloc(3000000);
    if (!block) {
        printf("hazard_small_space: no block\n");
        return 1;
    }
    memset(block, 1, 3000000);
    free(block);
    printf("hazard_small_space: end\n");
    return 0;
}
