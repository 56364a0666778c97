// Exceptions thrown and caught at many depths, in four threads and the first one; what unwinding destroys
// allocates and frees, too.
#include <cstdio>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

struct Noisy {
    std::string text;
    explicit Noisy(unsigned n) : text(20 + n % 50, 'x') {}
    ~Noisy() { std::vector<int> more(text.size()); more[0] = 1; }
};

static unsigned next(unsigned &state) { return state = state * 1664525u + 1013904223u; }

__attribute__((noinline)) static unsigned descend(unsigned &state, unsigned depth)
{
    Noisy guard(next(state) >> 8);
    if (depth == 0 || (next(state) >> 16) % 13 == 0)
        throw std::runtime_error("at depth " + std::to_string(depth));
    if (depth % 5 == 0) {
        try {
            return descend(state, depth - 1) + 1;
        } catch (const std::logic_error &) {
            return 1;
        }
    }
    return descend(state, depth - 1) + static_cast<unsigned>(guard.text.size());
}

static void work(unsigned seed, unsigned *caught)
{
    for (unsigned round = 0; round < 1500; round++) {
        try {
            descend(seed, 30);
        } catch (const std::exception &error) {
            *caught += std::string(error.what()).size() > 9;
        }
    }
}

int main()
{
    unsigned caught[5] = {0};
    std::vector<std::thread> threads;
    for (unsigned n = 0; n < 4; n++)
        threads.emplace_back(work, n * 77 + 1, &caught[n]);
    work(5, &caught[4]);
    for (auto &thread : threads)
        thread.join();
    unsigned sum = 0;
    for (unsigned n : caught)
        sum += n;
    std::printf("%u caught\n", sum);
    return sum == 7500 ? 0 : 1;
}
