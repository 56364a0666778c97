// Correct: replaces only operator new(size_t) and operator delete(void *), with a static pool.
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <new>
#include <sstream>
#include <stdexcept>
#include <string>
#include <vector>

alignas(16) static char pool[64 * 1024];
static size_t used;
static int news, deletes;

void *operator new(size_t size)
{
    size = (size + 15) & ~size_t(15);
    if (size == 0)
        size = 16;
    if (size > sizeof pool - used)
        throw std::bad_alloc();
    void *p = pool + used;
    used += size;
    news++;
    return p;
}

void operator delete(void *p) noexcept
{
    if (!p)
        return;
    if (p < pool || p >= pool + sizeof pool) {
        fprintf(stderr, "twin_operator_pool: delete of %p, which is not in the pool\n", p);
        abort();
    }
    deletes++;
}

struct Traced {
    std::string text = "a text too long to be kept inside of the string";
    ~Traced() { text.clear(); }
};

static void report(const char *what)
{
    printf("%s: new %d delete %d\n", what, news, deletes);
    news = deletes = 0;
}

int main()
{
    printf("twin_operator_pool: start\n");
    fflush(stdout);
    news = deletes = 0;

    delete new int(1);
    delete new Traced;
    report("plain");
    delete[] new char[100];
    delete[] new Traced[3];
    report("array");
    delete new (std::nothrow) int(1);
    delete[] new (std::nothrow) char[100];
    void *raw = ::operator new(40, std::nothrow);
    ::operator delete(raw, std::nothrow);
    report("nothrow");
    raw = ::operator new(24);
    ::operator delete(raw, 24);
    raw = ::operator new[](24);
    ::operator delete[](raw, 24);
    report("sized");
    printf("too large: null %d\n", ::operator new(1 << 20, std::nothrow) == nullptr);
    {
        std::string text(100, 'x');
        text += text;
        std::vector<std::string> list(4, text);
        list.push_back(text + "!");
    }
    report("containers");
    {
        std::vector<int> numbers = { 5, 3, 9, 1, 7 };
        std::stable_sort(numbers.begin(), numbers.end());
        std::ostringstream out;
        for (int n : numbers)
            out << n << " and a text that does not fit, ";
        printf("length %zu\n", out.str().size());
    }
    report("library");
    try {
        throw std::runtime_error("a message that the exception copies to its own string");
    } catch (const std::exception &e) {
        printf("caught: %s\n", e.what());
    }
    report("exception");
    printf("twin_operator_pool: end\n");
    return 0;
}
