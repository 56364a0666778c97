// Correct: plain new and delete are replaced by a pool, which a library's constructor uses by new[].
#include <cstdio>
#include <cstdlib>
#include <new>

extern "C" char *early_text();

alignas(16) static char pool[1 << 20];
static size_t used;
static int foreign;

static bool in_pool(void *p)
{
    return p >= pool && p < pool + sizeof pool;
}

void *operator new(size_t size)
{
    void *p = pool + used;
    used += (size + 15) & ~size_t(15);
    return p;
}

void operator delete(void *p) noexcept
{
    if (p && !in_pool(p))
        foreign++;
}

void operator delete(void *p, size_t) noexcept
{
    operator delete(p);
}

int main()
{
    std::printf("hazard_early_new: start\n");
    std::printf("hazard_early_new: in the pool %d\n", in_pool(early_text()));
    delete[] early_text();
    delete[] new char[50];
    std::printf("hazard_early_new: foreign %d\n", foreign);
    std::printf("hazard_early_new: end\n");
    return foreign;
}
