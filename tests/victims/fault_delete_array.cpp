/* Planted: an object of new is given to delete[], which reads a number of objects in front of it. */
#include <cstdio>

struct resource {
    int *place;
    resource() : place(new int(1)) {}
    ~resource() { delete place; }
};

__attribute__((noinline)) static void drop(resource *volatile object)
{
#ifdef FIXED
    delete object;
#else
    delete[] object;
#endif
}

int main()
{
    std::printf("fault_delete_array: start\n");
    std::fflush(stdout);
    drop(new resource);
    std::printf("fault_delete_array: end\n");
    return 0;
}
