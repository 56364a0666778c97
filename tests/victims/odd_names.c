/* A function to which the test gives a name with an escape sequence and a line that looks like a report. */
#include <stdlib.h>

void odd(void) {
    char *volatile block = malloc(40);
    block[40] = 1;
    free(block);
}

int main(void) {
    odd();
    return 0;
}
