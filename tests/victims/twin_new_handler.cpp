// Correct: a new handler runs when memory is refused, and gives up the third time.
#include <cstdio>
#include <new>

static int runs;
static volatile size_t impossible = size_t(1) << 46;

static void handler()
{
    if (++runs == 3)
        throw std::bad_alloc();
}

template <typename Try> static void expect_refusal(const char *what, Try attempt)
{
    runs = 0;
    try {
        void *p = attempt();
        printf("%s: null %d handler runs %d\n", what, p == nullptr, runs);
    } catch (const std::bad_alloc &) {
        printf("%s: bad_alloc handler runs %d\n", what, runs);
    }
}

static void try_all()
{
    const std::align_val_t align{ 64 };
    expect_refusal("new", [] { return ::operator new(impossible); });
    expect_refusal("new[]", [] { return ::operator new[](impossible); });
    expect_refusal("nothrow new", [] { return ::operator new(impossible, std::nothrow); });
    expect_refusal("nothrow new[]", [] { return ::operator new[](impossible, std::nothrow); });
    expect_refusal("aligned new", [=] { return ::operator new(impossible, align); });
    expect_refusal("aligned new[]", [=] { return ::operator new[](impossible, align); });
    expect_refusal("aligned nothrow new", [=] { return ::operator new(impossible, align, std::nothrow); });
}

int main()
{
    printf("twin_new_handler: start\n");
    fflush(stdout);
    std::set_new_handler(handler);
    printf("handler kept %d\n", std::get_new_handler() == handler);
    try_all();
    int *p = new int(7);
    printf("small new: value %d\n", *p);
    delete p;
    std::set_new_handler(nullptr);
    printf("without a handler\n");
    try_all();
    printf("twin_new_handler: end\n");
    return 0;
}
