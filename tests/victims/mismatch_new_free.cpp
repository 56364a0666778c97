// Planted: memory from new is given to free().
#include <cstdio>
#include <cstdlib>

__attribute__((noinline)) static int *make_block()
{
    return new int(7);
}

__attribute__((noinline)) static void break_it(int *volatile p)
{
#ifdef FIXED
    delete p;
#else
    free(p);
#endif
}

int main()
{
    printf("mismatch_new_free: start\n");
    fflush(stdout);
    int *p = make_block();
    break_it(p);
    printf("mismatch_new_free: end\n");
    return 0;
}
