/* Planted: the object of a shared pointer is used after the last owner has gone. */
#include <cstdio>
#include <memory>

struct name {
    const char *text;
    virtual ~name() {}
    virtual const char *get() { return text; }
};

__attribute__((noinline)) static const char *get(name *volatile object)
{
    return object->get();
}

int main()
{
    std::printf("fault_shared_reset: start\n");
    std::fflush(stdout);
    auto owner = std::make_shared<name>();
    owner->text = "end";
    name *object = owner.get();
#ifndef FIXED
    owner.reset();
#endif
    const char *text = get(object);
    std::printf("fault_shared_reset: %s\n", text);
    return 0;
}
