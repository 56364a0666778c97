// Correct: a shared library with a hidden C++ runtime of its own hands blocks to the program, which
// deletes them with the shared one. Both end in malloc and free.
//
//   g++ -shared -fPIC -static-libstdc++ -static-libgcc -Wl,--exclude-libs,ALL \
//       -o libtwin_hidden_runtime_lib.so twin_hidden_runtime_lib.cpp
//   g++ -o twin_hidden_runtime twin_hidden_runtime.cpp -L. -ltwin_hidden_runtime_lib
#include <cstdio>
#include <new>

extern "C" void *library_new(unsigned size);
extern "C" void library_delete(void *block);

int main()
{
    std::printf("twin_hidden_runtime: start\n");
    for (unsigned size = 1; size < 100; size++) {
        ::operator delete(library_new(size));
        library_delete(::operator new(size));
    }
    std::printf("twin_hidden_runtime: end\n");
    return 0;
}
