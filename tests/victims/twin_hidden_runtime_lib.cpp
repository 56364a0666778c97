// The library of twin_hidden_runtime.cpp.
#include <new>

extern "C" void *library_new(unsigned size)
{
    return ::operator new(size);
}

extern "C" void library_delete(void *block)
{
    ::operator delete(block);
}
