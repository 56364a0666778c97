// Planted: a block of 24 bytes is deleted with the size 8.
#include <cstdio>
#include <new>

__attribute__((noinline)) static void *make_block()
{
    return ::operator new(24);
}

__attribute__((noinline)) static void break_it(void *volatile p)
{
#ifdef FIXED
    ::operator delete(p, 24);
#else
    ::operator delete(p, 8);
#endif
}

int main()
{
    printf("sized_delete_wrong: start\n");
    fflush(stdout);
    void *p = make_block();
    break_it(p);
    printf("sized_delete_wrong: end\n");
    return 0;
}
