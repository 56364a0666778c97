/* Planted: 64 stale pointers are written through after small blocks have reused their memory. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define OLD_COUNT 64
#define OLD_SIZE 512
#define NEW_COUNT 5000
#define NEW_SIZE 40

static char *stale[OLD_COUNT];
static char *reused[NEW_COUNT];

__attribute__((noinline)) static char *make_block(void)
{
    return malloc(OLD_SIZE);
}

__attribute__((noinline)) static void release_block(char **p)
{
    free(*p);
#ifdef FIXED
    *p = NULL;
#endif
}

/* Sends 64 MiB through the heap, so that no quarantine keeps older blocks. */
__attribute__((noinline)) static void churn(void)
{
    for (int i = 0; i < 64 * 1024; i++) {
        char *volatile p = malloc(1024);
        p[0] = 1;
        free(p);
    }
}

__attribute__((noinline)) static char *reuse_block(void)
{
    return malloc(NEW_SIZE);
}

__attribute__((noinline)) static void break_it(char *volatile p)
{
    if (p)
        memset(p, 'x', OLD_SIZE);
}

__attribute__((noinline)) static void release_reused(char *p)
{
    free(p);
}

int main(void)
{
    printf("stale_write_reused: start\n");
    fflush(stdout);
    for (int i = 0; i < OLD_COUNT; i++)
        stale[i] = make_block();
    for (int i = 0; i < OLD_COUNT; i++)
        release_block(&stale[i]);
    churn();
    for (int i = 0; i < NEW_COUNT; i++)
        reused[i] = reuse_block();
    for (int i = 0; i < OLD_COUNT; i++)
        break_it(stale[i]);
    for (int i = 0; i < NEW_COUNT; i++)
        release_reused(reused[i]);
    printf("stale_write_reused: end\n");
    return 0;
}
