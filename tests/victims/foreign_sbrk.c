/* Correct: the program moves the break itself between its mallocs, and keeps data there. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define ROUNDS 300

int main(void)
{
    static char *blocks[ROUNDS], *own[ROUNDS];
    printf("foreign_sbrk: start\n");
    fflush(stdout);
    for (int i = 0; i < ROUNDS; i++) {
        blocks[i] = malloc(20000);
        memset(blocks[i], i, 20000);
        own[i] = sbrk(4096);
        memset(own[i], ~i, 4096);
    }
    int kept = 0;
    for (int i = 0; i < ROUNDS; i++) {
        kept += blocks[i][0] == (char)i && blocks[i][19999] == (char)i;
        kept += own[i][0] == (char)~i && own[i][4095] == (char)~i;
        free(blocks[i]);
    }
    printf("foreign_sbrk: kept %d of %d\n", kept, 2 * ROUNDS);
    printf("foreign_sbrk: end\n");
    return 0;
}
