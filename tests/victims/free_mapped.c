/* Planted: a page that came from mmap() is freed. */
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>

#define PAGE 4096

__attribute__((noinline)) static void *make_block(void)
{
    void *p = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    return p == MAP_FAILED ? NULL : p;
}

__attribute__((noinline)) static void break_it(void *volatile p)
{
#ifdef FIXED
    munmap(p, PAGE);
#else
    free(p);
#endif
}

int main(void)
{
    printf("free_mapped: start\n");
    fflush(stdout);
    void *p = make_block();
    break_it(p);
    printf("free_mapped: end\n");
    return 0;
}
