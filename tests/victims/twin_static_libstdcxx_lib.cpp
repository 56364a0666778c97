// Correct: the library of twin_static_libstdcxx.cpp (see there for the commands); uses the shared libstdc++.
#include <new>
#include <string>
#include <vector>

struct Item {
    std::string name;
    int value;
};
struct alignas(64) Wide {
    char data[64];
};

Item *lib_make_item(const std::string &name, int value)
{
    return new Item{ name, value };
}

int lib_drop_item(Item *item)
{
    int value = item->value;
    delete item;
    return value;
}

char *lib_make_bytes(size_t size)
{
    return new char[size]();
}

void lib_drop_bytes(char *bytes)
{
    delete[] bytes;
}

Wide *lib_make_wide(bool nothrow)
{
    return nothrow ? new (std::nothrow) Wide : new Wide;
}

void lib_drop_wide(Wide *wide)
{
    delete wide;
}

int *lib_make_nothrow(int value)
{
    return new (std::nothrow) int(value);
}

std::string lib_repeat(std::string text, int times)
{
    std::string result;
    for (int i = 0; i < times; i++)
        result += text;
    return result;
}

void lib_append(std::vector<std::string> &list, int count)
{
    for (int i = 0; i < count; i++)
        list.push_back("an entry made by the library, which is long: " + std::to_string(i));
}

size_t lib_consume(std::vector<std::string> list)
{
    size_t length = 0;
    for (const std::string &text : list)
        length += text.size();
    return length;
}
