/* Planted: a null pointer is written through. */
#include <stdio.h>
#include <stdlib.h>

__attribute__((noinline)) static void set(int *volatile place)
{
    *place = 7;
}

int main(void)
{
    printf("fault_null_write: start\n");
    fflush(stdout);
    int *place = malloc(sizeof *place);
#ifdef FIXED
    set(place);
#else
    set(NULL);
#endif
    free(place);
    printf("fault_null_write: end\n");
    return 0;
}
