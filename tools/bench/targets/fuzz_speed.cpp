// A libFuzzer target that allocates ALLOCATIONS blocks for each input and frees them: nodes of a list and texts, as a
// parser's, with a look at every byte of the input.
#include <cstdint>
#include <cstdlib>
#include <cstring>

struct node {
    struct node *next;
    char *text;
};

extern "C" int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct node *first = nullptr;
    size_t length = 1;
    for (int i = 0; i < ALLOCATIONS / 2; i++) {
        struct node *fresh = static_cast<struct node *>(malloc(sizeof *fresh));
        length = size ? data[i % size] % 100 + 1 : 10;
        fresh->text = static_cast<char *>(malloc(length));
        memset(fresh->text, i, length);
        fresh->next = first;
        first = fresh;
    }
    unsigned sum = 0;
    while (first) {
        struct node *next = first->next;
        sum += first->text[0];
        free(first->text);
        free(first);
        first = next;
    }
    for (size_t i = 0; i < size; i++)
        sum = sum * 31 + data[i];
    return sum == 12345 ? 0 : 0;
}
