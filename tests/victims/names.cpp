// Planted: a leak from a template's method in a namespace, called through an inlined function.
#include <cstdio>

namespace shop {
template <typename T>
struct Cart {
    __attribute__((noinline)) T *make_block(unsigned count) { return new T[count]; }
};
}

__attribute__((always_inline)) static inline int *fill()
{
    shop::Cart<int> cart;
    return cart.make_block(777);
}

int main()
{
    int *volatile lost = fill();
    lost = nullptr;
    std::printf("names: end\n");
    return lost != nullptr;
}
