// Two forms of operator new: one throws where there is no memory, one returns null.
#include <cstdio>
#include <new>

__attribute__((noinline)) static char *ask() { return new char[1000]; }
__attribute__((noinline)) static char *ask_softly() { return new (std::nothrow) char[1000]; }

int main()
{
    try {
        delete[] ask();
        puts("memory");
    } catch (const std::bad_alloc &) {
        puts("bad_alloc");
    }
    char *block = ask_softly();
    puts(block ? "memory" : "null");
    delete[] block;
}
