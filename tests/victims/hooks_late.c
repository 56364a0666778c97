/* Hooks that are installed while threads run and allocate: from then on they hear of each block. */
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

#define THREADS 4
#define BLOCKS 5000
#define SIZE 4242

__attribute__((weak)) int __sanitizer_install_malloc_and_free_hooks(void (*)(const volatile void *, size_t),
                                              void (*)(const volatile void *));

static atomic_int running, go;
static atomic_long allocated, freed;
static _Atomic(const volatile void *) mine[THREADS];

static void on_malloc(const volatile void *block, size_t size)
{
    (void)block;
    if (size == SIZE)
        allocated++;
}

static void on_free(const volatile void *block)
{
    for (int i = 0; i < THREADS; i++)
        if (block == mine[i])
            freed++;
}

static void *work(void *number)
{
    _Atomic(const volatile void *) *place = &mine[(long)number];
    running++;
    while (!go)
        free(malloc(100));
    for (int i = 0; i < BLOCKS; i++) {
        void *block = malloc(SIZE);
        *place = block;
        free(block);
    }
    *place = 0;
    return 0;
}

int main(void)
{
    pthread_t threads[THREADS];
    for (long i = 0; i < THREADS; i++)
        pthread_create(&threads[i], 0, work, (void *)i);
    while (running < THREADS)
        ;
    if (__sanitizer_install_malloc_and_free_hooks(on_malloc, on_free) <= 0)
        return 1;
    go = 1;
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], 0);
    printf("%ld allocated, %s\n", allocated, freed >= THREADS * BLOCKS ? "all freed" : "some freed unheard");
    return 0;
}
