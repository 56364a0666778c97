// Planted: memory from new[] is given to delete.
#include <cstdio>

__attribute__((noinline)) static char *make_block()
{
    return new char[32];
}

__attribute__((noinline)) static void break_it(char *volatile p)
{
#ifdef FIXED
    delete[] p;
#else
    delete p;
#endif
}

int main()
{
    printf("mismatch_new_array_delete: start\n");
    fflush(stdout);
    char *p = make_block();
    break_it(p);
    printf("mismatch_new_array_delete: end\n");
    return 0;
}
