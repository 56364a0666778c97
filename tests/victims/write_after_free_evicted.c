/* Planted: 8 bytes are written into a freed block of 64 bytes, which then leaves the quarantine. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

__attribute__((noinline)) static char *make_block(void)
{
    return malloc(64);
}

__attribute__((noinline)) static void release_block(char *p)
{
    free(p);
}

__attribute__((noinline)) static void break_it(char *volatile p)
{
    memset(p + 16, 'x', 8);
}

/* Sends 40 MiB through the heap, so that no quarantine keeps older blocks. */
__attribute__((noinline)) static void churn(void)
{
    for (int i = 0; i < 40 * 1024; i++) {
        char *volatile p = malloc(1024);
        p[0] = 1;
        free(p);
    }
}

int main(void)
{
    printf("write_after_free_evicted: start\n");
    fflush(stdout);
    char *p = make_block();
#ifdef FIXED
    break_it(p);
    release_block(p);
#else
    release_block(p);
    break_it(p);
#endif
    churn();
    printf("write_after_free_evicted: end\n");
    return 0;
}
