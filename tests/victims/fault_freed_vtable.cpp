/* Planted: a virtual function of a deleted object is called. */
#include <cstdio>

struct shape {
    virtual ~shape() {}
    virtual int sides() { return 0; }
};

struct square : shape {
    int sides() override { return 4; }
};

__attribute__((noinline)) static void drop(shape *object)
{
    delete object;
}

__attribute__((noinline)) static int sides_of(shape *volatile object)
{
    return object->sides();
}

int main()
{
    std::printf("fault_freed_vtable: start\n");
    std::fflush(stdout);
    shape *object = new square;
#ifdef FIXED
    int sides = sides_of(object);
    drop(object);
#else
    drop(object);
    int sides = sides_of(object);
#endif
    std::printf("fault_freed_vtable: end\n");
    return sides - 4;
}
