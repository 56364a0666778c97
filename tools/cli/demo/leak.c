// Forgets a block in every round: nothing points to it any more.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void greet(int round)
{
    char *text = malloc(100);
    snprintf(text, 100, "round %d", round);
    puts(text);
    // free(text) is missing.
}

int main(void)
{
    for (int round = 1; round <= 3; round++)
        greet(round);
    return 0;
}
