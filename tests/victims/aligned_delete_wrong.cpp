// Planted: a block made with alignment 64 is deleted with alignment 128.
#include <cstdio>
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
    ::operator delete(p, std::align_val_t(128));
#endif
}

int main()
{
    printf("aligned_delete_wrong: start\n");
    fflush(stdout);
    void *p = make_block();
    break_it(p);
    printf("aligned_delete_wrong: end\n");
    return 0;
}
