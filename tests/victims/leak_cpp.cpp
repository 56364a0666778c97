// leak_cpp keep|lose: an array behind its count, an object of which only the second base is known, and one that
// owns another block.
#include <cstdio>
#include <cstring>
#include <new>

struct Item {
    long words[3] = {};
    ~Item() { words[0] = 1; }
};

struct First {
    virtual ~First() {}
    long first = 1;
};

struct Second {
    virtual ~Second() {}
    long second = 2;
};

struct Both : First, Second {
    char more[32] = {};
};

struct Owner {
    char *text;
    char rest[800] = {};
    Owner() : text(new char[101]()) {}
};

Item *items;
Second *second;
Owner *owner;

__attribute__((noinline)) static Item *make_array() { return new Item[10]; }
__attribute__((noinline)) static Second *make_both() { return new Both; }
__attribute__((noinline)) static Owner *make_owner() { return new Owner; }

__attribute__((noinline)) static void scrub_stack()
{
    volatile char dead[4096];
    memset((void *)dead, 0, sizeof dead);
}

int main(int argc, char **argv)
{
    items = make_array();
    second = make_both();
    owner = make_owner();
    if (argc > 1 && strcmp(argv[1], "lose") == 0) {
        items = nullptr;
        second = nullptr;
        owner = nullptr;
    }
    scrub_stack();
    printf("leak_cpp: end\n");
    return 0;
}
