// Planted: a double delete, allocated and freed each at the bottom of 12 calls, every second one inlined.
#include <cstdio>

template <int N> struct Step {
    __attribute__((noinline)) static void make(long **at);
    __attribute__((noinline)) static void drop(long **at);
};
template <int N> __attribute__((always_inline)) static inline void make_inlined(long **at)
{
    Step<N - 1>::make(at);
    __asm__ volatile("" ::: "memory");
}
template <int N> __attribute__((always_inline)) static inline void drop_inlined(long **at)
{
    Step<N - 1>::drop(at);
    __asm__ volatile("" ::: "memory");
}
template <> void Step<0>::make(long **at) { *at = new long[3]; __asm__ volatile("" ::: "memory"); }
template <> void Step<0>::drop(long **at) { delete[] *at; __asm__ volatile("" ::: "memory"); }
template <int N> void Step<N>::make(long **at)
{
    make_inlined<N>(at);
    __asm__ volatile("" ::: "memory");
}
template <int N> void Step<N>::drop(long **at)
{
    drop_inlined<N>(at);
    __asm__ volatile("" ::: "memory");
}

int main(int count, char **)
{
    long *block;
    Step<6>::make(&block);
    Step<6>::drop(&block);
    if (count == 1)
        Step<6>::drop(&block);
    std::puts("stack_nested: end");
}
