// Planted: a block made by aligned operator new is deleted by the plain one.
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
    ::operator delete(p);
#endif
}

int main()
{
    printf("aligned_new_plain_delete: start\n");
    fflush(stdout);
    void *p = make_block();
    break_it(p);
    printf("aligned_new_plain_delete: end\n");
    return 0;
}
