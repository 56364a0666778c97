// Planted: memory from malloc() is given to delete.
#include <cstdio>
#include <cstdlib>

__attribute__((noinline)) static int *make_block()
{
    return static_cast<int *>(malloc(sizeof(int)));
}

__attribute__((noinline)) static void break_it(int *volatile p)
{
#ifdef FIXED
    free(p);
#else
    delete p;
#endif
}

int main()
{
    printf("mismatch_malloc_delete: start\n");
    fflush(stdout);
    int *p = make_block();
    break_it(p);
    printf("mismatch_malloc_delete: end\n");
    return 0;
}
