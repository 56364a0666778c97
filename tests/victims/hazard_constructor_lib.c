/* Planted: the constructor of a shared library frees a block twice, before most of the process is
 * set up. */
#include <stdlib.h>

__attribute__((constructor)) static void start(void)
{
    char *volatile p = malloc(10);
    free(p);
    free(p);
}

int library_value(void)
{
    return 1;
}
