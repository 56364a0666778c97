/* Planted: a block of 3000 bytes is freed a second time after 40 MiB of other blocks came and went. */
#include <stdio.h>
#include <stdlib.h>

__attribute__((noinline)) static char *make_block(void)
{
    return malloc(3000);
}

__attribute__((noinline)) static void release_block(char **p)
{
    free(*p);
#ifdef FIXED
    *p = NULL;
#endif
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

__attribute__((noinline)) static void break_it(char *volatile p)
{
    free(p);
}

int main(void)
{
    printf("double_free_late: start\n");
    fflush(stdout);
    char *p = make_block();
    release_block(&p);
    churn();
    break_it(p);
    printf("double_free_late: end\n");
    return 0;
}
