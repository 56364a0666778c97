/* Planted: a function pointer that was never set is called. */
#include <stdio.h>
#include <stdlib.h>

struct hooks { void (*begin)(void), (*end)(void); };

static void nothing(void) {}

__attribute__((noinline)) static void call(struct hooks *hooks)
{
    hooks->end();
}

int main(void)
{
    printf("fault_null_call: start\n");
    fflush(stdout);
    struct hooks *hooks = calloc(1, sizeof *hooks);
#ifdef FIXED
    hooks->end = nothing;
#endif
    call(hooks);
    free(hooks);
    printf("fault_null_call: end\n");
    return 0;
}
