// The plugin of hazard_local_runtime.c: requests that cannot be met.
#include <new>

static volatile unsigned long huge = 1ul << 46;

extern "C" int plugin_catches()
{
    try {
        char *volatile p = new char[huge];
        delete[] p;
        return 0;
    } catch (std::bad_alloc &) {
        return 1;
    }
}

extern "C" int plugin_gets_null()
{
    char *volatile p = new (std::nothrow) char[huge];
    return p == nullptr;
}
