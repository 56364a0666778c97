/* Large blocks that are freed, each of which the program or the kernel then does something with that is no write to it. The
 * argument says what. */
#define _GNU_SOURCE
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

static int locked(void) {
    char *block = malloc(300000);
    memset(block, 1, 300000);
    free(block);
    /* Brings all pages, those of freed blocks, too. */
    int failed = mlockall(MCL_CURRENT);
    malloc_trim(0);
    return failed;
}

static int overlaid(void) {
    size_t size = 1 << 20;
    void *block;
    int file = memfd_create("mirror", 0);
    if (posix_memalign(&block, 4096, size) || ftruncate(file, size))
        return 1;
    if (mmap(block, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, file, 0) == MAP_FAILED)
        return 1;
    memset(block, 7, size);
    free(block);
    malloc_trim(0);
    return 0;
}

static int limited(void) {
    struct rlimit limit = {300 << 20, 300 << 20};
    setrlimit(RLIMIT_DATA, &limit);
    char *block = malloc(200 << 20);
    if (!block)
        return 1;
    block[0] = 1;
    free(block);
    return mmap(0, 250 << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) == MAP_FAILED;
}

int main(int count, char **arguments) {
    const char *what = count > 1 ? arguments[1] : "";
    int failed = strcmp(what, "locked") == 0 ? locked() : strcmp(what, "overlaid") == 0 ? overlaid() : limited();
    puts(failed ? "failed" : "end");
    return 0;
}
