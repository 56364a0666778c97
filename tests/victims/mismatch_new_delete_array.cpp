// Planted: memory from new is given to delete[].
#include <cstdio>

__attribute__((noinline)) static int *make_block()
{
    return new int(7);
}

__attribute__((noinline)) static void break_it(int *volatile p)
{
#ifdef FIXED
    delete p;
#else
    delete[] p;
#endif
}

int main()
{
    printf("mismatch_new_delete_array: start\n");
    fflush(stdout);
    int *p = make_block();
    break_it(p);
    printf("mismatch_new_delete_array: end\n");
    return 0;
}
