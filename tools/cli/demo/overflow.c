// Forgets the NUL: the copy needs one byte more than the text is long.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static char *copy_text(const char *text)
{
    char *copy = malloc(strlen(text));
    strcpy(copy, text);
    return copy;
}

int main(void)
{
    char *copy = copy_text("thirty-two bytes without the NUL");
    puts(copy);
    free(copy);
    return 0;
}
