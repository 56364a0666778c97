// Makes five errors three times each: a read past the end, one in front of the start, one after a free, a write past the
// end, and strlen of a text without NUL; with FIXED defined, none. Prints the lines that it reads.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#ifdef FIXED
#define BAD 0
#else
#define BAD 1
#endif

static volatile char sink;
static volatile int bad = BAD;

static char *make(int bytes) { return malloc(bytes); }

static void read_behind(void)
{
    char *block = make(13);
    sink = block[12 + bad];
    free(block);
}

static void read_in_front(void)
{
    char *block = make(20);
    sink = block[-bad];
    free(block);
}

static void read_freed(void)
{
    char *block = make(30);
    if (!bad)
        sink = block[3];
    free(block);
    if (bad)
        sink = block[3];
}

static void write_behind(void)
{
    char *block = make(40);
    block[39 + bad] = 1;
    free(block);
}

static void measure(void)
{
    char *block = make(50);
    memset(block, 'x', 50);
    if (!bad)
        block[49] = 0;
    sink = strlen(block);
    free(block);
}

int main(void)
{
    char line[99];
    for (int round = 0; round < 3; round++) {
        read_behind();
        read_in_front();
        read_freed();
        write_behind();
        measure();
    }
    while (fgets(line, sizeof line, stdin))
        printf("got %s", line);
    return 0;
}
