// Planted: memory from aligned operator new is given to free().
#include <cstdio>
#include <cstdlib>
#include <new>

__attribute__((noinline)) static void *make_block()
{
    return ::operator new(64, std::align_val_t(64));
}

__attribute__((noinline)) static void break_it(void *volatile p)
{
#ifdef FIXED
    ::operator delete(p, std::align_val_t(64));
#else
    free(p);
#endif
}

int main()
{
    printf("mismatch_aligned_new_free: start\n");
    fflush(stdout);
    void *p = make_block();
    break_it(p);
    printf("mismatch_aligned_new_free: end\n");
    return 0;
}
