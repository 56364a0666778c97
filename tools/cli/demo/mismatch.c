// Hands a block from malloc to C++'s operator delete, as a wrapper in another language may do.
#include <stdio.h>
#include <stdlib.h>

// operator delete(void *), by the name that the linker knows.
void operator_delete(void *block) __asm__("_ZdlPv") __attribute__((weak));

static void destroy(void *block)
{
    if (operator_delete)
        operator_delete(block);
}

int main(void)
{
    void *block = malloc(48);
    puts("allocated with malloc");
    destroy(block);
    return 0;
}
