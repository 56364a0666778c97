// A libFuzzer target without a sanitizer: three planted errors, one for each word that an input can start with, a cache
// that grows, and, for the word MB, much memory at once; for RD a read 16 bytes past a block as large as the input, for
// RF one past a block of 40 bytes. The variable DEFECT says which of the words counts.
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
    static const char *const defect = getenv("DEFECT");
    if (size < 2 || !defect || memcmp(data, defect, 2) != 0)
        return 0;
    char *volatile block = static_cast<char *>(malloc(8));
    if (data[0] == 'O')
        block[8] = 'x';
    free(block);
    if (data[0] == 'D')
        free(block);
    if (data[0] == 'L')
        lose();
    if (data[0] == 'R') {
        size_t bytes = data[1] == 'F' ? 40 : size;
        char *volatile read = static_cast<char *>(malloc(bytes));
        static volatile char sink;
        sink = read[bytes + 16];
        free(read);
    }
    if (data[0] == 'M')
            free(block = static_cast<char *>(malloc(200 << 20)));
    return 0;
}
