/* The program of hazard_constructor_lib.c, linked with it. */
#include <stdio.h>

extern int library_value(void);

int main(void)
{
    printf("hazard_constructor: start\n");
    printf("hazard_constructor: value %d\n", library_value());
    printf("hazard_constructor: end\n");
    return 0;
}
