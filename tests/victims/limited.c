/* Asks for 2 MiB, and says whether it got them. */
#include <stdio.h>
#include <stdlib.h>

int main(void)
{
    char *volatile block = malloc(2 << 20);
    puts(block ? "got" : "refused");
    free(block);
    return 0;
}
