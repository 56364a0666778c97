// Planted: memory from aligned_alloc() is given to operator delete.
#include <cstdio>
#include <cstdlib>
#include <new>

__attribute__((noinline)) static void *make_block()
{
    return aligned_alloc(64, 128);
}

__attribute__((noinline)) static void break_it(void *volatile p)
{
#ifdef FIXED
    free(p);
#else
    ::operator delete(p);
#endif
}

int main()
{
    printf("mismatch_memalign_delete: start\n");
    fflush(stdout);
    void *p = make_block();
    break_it(p);
    printf("mismatch_memalign_delete: end\n");
    return 0;
}
