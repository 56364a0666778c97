/* Planted: alignments that are no power of two are asked for, and must not crash. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#ifdef FIXED
static volatile size_t alignments[] = { 8, 16, 32 };
#else
static volatile size_t alignments[] = { 0, 3, 24 };
#endif

__attribute__((noinline)) static void make_block(size_t alignment)
{
    void *p = NULL;
    int result = posix_memalign(&p, alignment, 96);
    printf("posix_memalign %zu: result %d null %d\n", alignment, result, p == NULL);
    free(p);
    errno = 0;
    p = aligned_alloc(alignment, 96);
    int error = p ? 0 : errno;
    printf("aligned_alloc %zu: null %d errno %d\n", alignment, p == NULL, error);
    free(p);
}

__attribute__((noinline)) static void break_it(void)
{
    for (size_t i = 0; i < sizeof alignments / sizeof *alignments; i++)
        make_block(alignments[i]);
}

int main(void)
{
    printf("bad_alignment: start\n");
    fflush(stdout);
    break_it();
    printf("bad_alignment: end\n");
    return 0;
}
