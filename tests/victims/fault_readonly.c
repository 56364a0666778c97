/* Planted: a constant is written to. */
#include <stdio.h>
#include <stdlib.h>

const char fault_readonly_text[16] = "constant";

__attribute__((noinline)) static void change(char *volatile text)
{
    *text = 'C';
}

int main(void)
{
    printf("fault_readonly: start\n");
    fflush(stdout);
    free(malloc(10));
    char text[] = "variable";
#ifdef FIXED
    change(text);
#else
    change((char *)fault_readonly_text);
#endif
    printf("fault_readonly: end\n");
    return 0;
}
