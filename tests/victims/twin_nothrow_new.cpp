// Correct: every form of nothrow new, granted, refused and with a constructor that throws.
#include <cstdint>
#include <cstdio>
#include <new>
#include <string>

struct Thrower {
    char data[48];
    Thrower() { throw 1; }
};

struct alignas(128) Wide {
    char data[128];
};

struct alignas(128) WideThrower {
    char data[128];
    WideThrower() { throw 2; }
};

static volatile size_t impossible = size_t(1) << 46;

static void granted()
{
    int *number = new (std::nothrow) int(7);
    printf("scalar: value %d\n", *number);
    delete number;
    char *bytes = new (std::nothrow) char[1000]();
    printf("array: last %d\n", bytes[999]);
    delete[] bytes;
    std::string *texts = new (std::nothrow) std::string[5];
    texts[4].assign(200, 'x');
    printf("strings: length %zu\n", texts[4].size());
    delete[] texts;
    Wide *wide = new (std::nothrow) Wide;
    printf("aligned: rest %d\n", int(reinterpret_cast<uintptr_t>(wide) % 128));
    delete wide;
    wide = new (std::nothrow) Wide[3];
    printf("aligned array: rest %d\n", int(reinterpret_cast<uintptr_t>(wide) % 128));
    delete[] wide;
    void *raw = ::operator new(100, std::nothrow);
    ::operator delete(raw, std::nothrow);
    raw = ::operator new[](100, std::nothrow);
    ::operator delete[](raw, std::nothrow);
    raw = ::operator new(0, std::nothrow);
    printf("zero: null %d\n", raw == nullptr);
    ::operator delete(raw);
}

static void refused()
{
    char *bytes = new (std::nothrow) char[impossible];
    printf("refused array: null %d\n", bytes == nullptr);
    delete[] bytes;
    void *raw = ::operator new(impossible, std::nothrow);
    printf("refused raw: null %d\n", raw == nullptr);
    ::operator delete(raw, std::nothrow);
    raw = ::operator new(impossible, std::align_val_t(256), std::nothrow);
    printf("refused aligned: null %d\n", raw == nullptr);
    ::operator delete(raw, std::align_val_t(256), std::nothrow);
}

template <typename T> static void throwing(const char *what)
{
    int caught = 0;
    try {
        delete new (std::nothrow) T;
    } catch (int n) {
        caught += n;
    }
    try {
        delete[] new (std::nothrow) T[4];
    } catch (int n) {
        caught += n;
    }
    printf("%s: caught %d\n", what, caught);
}

int main()
{
    printf("twin_nothrow_new: start\n");
    fflush(stdout);
    granted();
    refused();
    throwing<Thrower>("throwing");
    throwing<WideThrower>("throwing aligned");
    printf("twin_nothrow_new: end\n");
    return 0;
}
