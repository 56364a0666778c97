/* A block that was written past its end grows, stays where it is, and is freed: one defect. */
#include <stdlib.h>
#include <string.h>

int main(void) {
    char *volatile block = malloc(40);
    memset(block, 1, 41);
    char *volatile grown = realloc(block, 48);
    if (!grown)
        return 1;
    grown[47] = 1;
    free(grown);
    return 0;
}
