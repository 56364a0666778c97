// Correct: a program with its own static libstdc++ trades objects with a library that uses the shared one.
// g++ -g -O0 -std=c++17 -fPIC -shared -o libtwin_static_libstdcxx_lib.so twin_static_libstdcxx_lib.cpp
// g++ -g -O0 -std=c++17 -static-libstdc++ -static-libgcc -o twin_static_libstdcxx twin_static_libstdcxx.cpp -L. -ltwin_static_libstdcxx_lib -Wl,-rpath,'$ORIGIN'
#include <cstdint>
#include <cstdio>
#include <string>
#include <vector>

// The same as in twin_static_libstdcxx_lib.cpp.
struct Item {
    std::string name;
    int value;
};
struct alignas(64) Wide {
    char data[64];
};
Item *lib_make_item(const std::string &name, int value);
int lib_drop_item(Item *item);
char *lib_make_bytes(size_t size);
void lib_drop_bytes(char *bytes);
Wide *lib_make_wide(bool nothrow);
void lib_drop_wide(Wide *wide);
int *lib_make_nothrow(int value);
std::string lib_repeat(std::string text, int times);
void lib_append(std::vector<std::string> &list, int count);
size_t lib_consume(std::vector<std::string> list);

int main()
{
    printf("twin_static_libstdcxx: start\n");
    fflush(stdout);

    Item *item = lib_make_item("an item that the library made, with a long name", 7);
    printf("from the library: %s %d\n", item->name.c_str(), item->value);
    delete item;
    item = new Item{ "an item that the program made, with a long name", 8 };
    printf("to the library: %d\n", lib_drop_item(item));

    char *bytes = lib_make_bytes(1000);
    printf("bytes from the library: %d\n", bytes[999]);
    delete[] bytes;
    lib_drop_bytes(new char[1000]);

    for (bool nothrow : { false, true }) {
        Wide *wide = lib_make_wide(nothrow);
        printf("wide from the library: rest %d\n", int(reinterpret_cast<uintptr_t>(wide) % 64));
        delete wide;
    }
    lib_drop_wide(new Wide);

    int *number = lib_make_nothrow(9);
    printf("nothrow from the library: %d\n", *number);
    delete number;

    std::string text = lib_repeat("a text of the program; ", 20);
    printf("repeated: %zu\n", text.size());
    text = lib_repeat(text + "and once more", 3);
    printf("repeated again: %zu\n", text.size());

    std::vector<std::string> list(3, "an entry made by the program, which is long");
    lib_append(list, 50);
    printf("list: %zu\n", list.size());
    list.resize(200, "an entry added later by the program, also long");
    lib_append(list, 1);
    printf("consumed: %zu\n", lib_consume(std::move(list)));
    printf("twin_static_libstdcxx: end\n");
    return 0;
}
