// Skips the leading blanks and then frees what is left, not what was allocated.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static char *read_line(void)
{
    char *line = malloc(64);
    strcpy(line, "    value");
    return line;
}

int main(void)
{
    char *line = read_line();
    while (*line == ' ')
        line++;
    puts(line);
    free(line);
    return 0;
}
