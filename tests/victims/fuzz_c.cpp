// A libFuzzer target without a sanitizer: three planted errors, one for each word that an input can start with, a cache
// that grows, and, for the word MB, much memory at once.
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <vector>

static std::vector<char *> *cache = new std::vector<char *>;

__attribute__((noinline)) static void lose()
{
    char *volatile block = static_cast<char *>(malloc(33));
    block[0] = 1;
    block = nullptr;
}

extern "C" int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    cache->push_back(strdup("as many targets have one"));
    if (size < 2)
        return 0;
    char *volatile block = static_cast<char *>(malloc(8));
    if (data[0] == 'O')
        if (data[1] == 'V')
            block[8] = 'x';
    free(block);
    if (data[0] == 'D')
        if (data[1] == 'F')
            free(block);
    if (data[0] == 'L')
        if (data[1] == 'K')
            lose();
    if (data[0] == 'M')
        if (data[1] == 'B')
            free(malloc(200 << 20));
    return 0;
}
