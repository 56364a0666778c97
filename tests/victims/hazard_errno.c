/* Planted: pointers that are no block are freed; free() keeps errno all the same. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

static char global[64];

int main(void)
{
    printf("hazard_errno: start\n");
    fflush(stdout);
    errno = 77;
    free(global + 16);
    printf("hazard_errno: errno %d\n", errno);
    printf("hazard_errno: end\n");
    return 0;
}
