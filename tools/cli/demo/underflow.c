// Trims from the wrong side: the loop runs past the first character.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void trim_right(char *text)
{
    char *end = text + strlen(text) - 1;
    while (end >= text - 1 && (*end == ' ' || end < text))
        *end-- = '\0';
}

int main(void)
{
    char *text = malloc(8);
    strcpy(text, "    ");
    trim_right(text);
    printf("trimmed to \"%s\"\n", text);
    free(text);
    return 0;
}
