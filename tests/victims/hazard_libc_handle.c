/* Correct: the calls found in libc itself, by handle and by its other names, mixed with plain ones. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

extern void *__libc_malloc(size_t size);
extern void __libc_free(void *block);

int main(void)
{
    static const size_t sizes[] = { 1, 50, 5000, 300000 };
    printf("hazard_libc_handle: start\n");
    void *libc = dlopen("libc.so.6", RTLD_LAZY);
    if (!libc) {
        printf("hazard_libc_handle: %s\n", dlerror());
        return 1;
    }
    void *(*own_malloc)(size_t) = (void *(*)(size_t))dlsym(libc, "malloc");
    void (*own_free)(void *) = (void (*)(void *))dlsym(libc, "free");
    void *(*own_realloc)(void *, size_t) = (void *(*)(void *, size_t))dlsym(libc, "realloc");
    for (int i = 0; i < 4; i++) {
        size_t size = sizes[i];
        own_free(own_malloc(size));
        own_free(malloc(size));
        free(own_malloc(size));
        free(own_realloc(memset(malloc(size), 1, size), 3 * size));
        own_free(realloc(memset(own_malloc(size), 1, size), 3 * size));
        __libc_free(__libc_malloc(size));
        __libc_free(malloc(size));
        free(__libc_malloc(size));
        own_free(__libc_malloc(size));
        __libc_free(own_malloc(size));
    }
    dlclose(libc);
    printf("hazard_libc_handle: end\n");
    return 0;
}
