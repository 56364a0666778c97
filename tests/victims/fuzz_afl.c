/* A target for AFL++: three planted errors, one for each word that an input can start with. PERSISTENT: many inputs in a
 * process, and a look for leaks after each. */
#include <string.h>
#include <unistd.h>

#include "mallocop.h"

#ifdef PERSISTENT
__AFL_FUZZ_INIT();
#endif

static char *volatile block;

__attribute__((noinline)) static void lose(void)
{
    block = malloc(77);
    block[0] = 1;
    block = 0;
}

__attribute__((noinline)) static void try_one(const unsigned char *data, long size)
{
    char *list[20];
    for (int i = 0; i < 20; i++)
        list[i] = malloc(16 + i * 8);
    block = malloc(9);
    if (size > 1 && data[0] == 'O' && data[1] == 'V')
        block[9] = 'x';
    free(block);
    if (size > 1 && data[0] == 'D' && data[1] == 'F')
        free(block);
    if (size > 1 && data[0] == 'L' && data[1] == 'K') {
        lose();
        lose();
    }
    for (int i = 0; i < 20; i++)
        free(list[i]);
}

int main(void)
{
#ifdef PERSISTENT
    __AFL_INIT();
    unsigned char *data = __AFL_FUZZ_TESTCASE_BUF;
    while (__AFL_LOOP(1000)) {
        try_one(data, __AFL_FUZZ_TESTCASE_LEN);
        __AFL_LEAK_CHECK();
    }
#else
    static unsigned char data[1024];
    try_one(data, read(0, data, sizeof data));
#endif
    return 0;
}
