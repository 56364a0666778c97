/* Correct: a program that limits its address space to 300 MiB and stays well below. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

int main(void)
{
    static char *blocks[1000];
    struct rlimit limit = { 300 << 20, 300 << 20 };
    int failed = 0;
    printf("hazard_own_limit: start\n");
    if (setrlimit(RLIMIT_AS, &limit) != 0)
        perror("setrlimit");
    for (int i = 0; i < 1000; i++) {
        blocks[i] = malloc(10000);
        if (blocks[i])
            memset(blocks[i], i, 10000);
        else
            failed++;
    }
    for (int i = 0; i < 1000; i++)
        free(blocks[i]);
    printf("hazard_own_limit: failed %d\n", failed);
    printf("hazard_own_limit: end\n");
    return failed != 0;
}
