/* Writes over the run's record, which is mapped into every watched program. Argument: what of it. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int main(int count, char **arguments) {
    char line[512], *start = 0;
    char *volatile lost = malloc(42);
    unsigned long from = 0, to = 0;
    FILE *maps = fopen("/proc/self/maps", "r");
    while (fgets(line, sizeof line, maps))
        if (strstr(line, "memfd:mallocop") && sscanf(line, "%lx-%lx", &from, &to) == 2 && !start
            && !memcmp((char *)from, "mallocop", 8))
            start = (char *)from;
    fclose(maps);
    const char *what = arguments[1];
    if (!start)
        return 77;
    if (!strcmp(what, "header"))
        memset(start, 0, 64);
    if (!strcmp(what, "root"))
        memset(start + 16, 0, 4);
    if (!strcmp(what, "nodes") || !strcmp(what, "circle")) {
        /* Extents of kind 3 hold nodes of 16 bytes; the third word of each names the next: itself, from here on. */
        for (unsigned extent = 33; extent < 256; extent++)
            if (start[16384 + extent * 8 + 4] == 3)
                for (unsigned unit = 0; unit < 1024; unit++)
                    ((unsigned *)(start + extent * 16384))[unit * 4 + 2] = extent * 1024 + unit;
    }
    if (strcmp(what, "circle")) {
        free(lost);
    }
    lost = 0;
    puts("end");
    return 0;
}
