/* Many blocks of 64 KiB of which one page each is used: the peak of resident memory in MiB. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int main(void) {
    enum { COUNT = 8192, SIZE = 64 << 10 };
    static char *blocks[COUNT];
    for (int i = 0; i < COUNT; i++) {
        blocks[i] = malloc(SIZE);
        blocks[i][SIZE / 2] = 1;
    }
    char line[100];
    FILE *status = fopen("/proc/self/status", "r");
    long kib = 0;
    while (fgets(line, sizeof line, status))
        if (sscanf(line, "VmHWM: %ld", &kib) == 1)
            break;
    fclose(status);
    for (int i = 0; i < COUNT; i++)
        free(blocks[i]);
    printf("%ld\n", kib >> 10);
    return 0;
}
