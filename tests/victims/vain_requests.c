/* One thread asks in vain for more than there is; another one, which has freed a block before, gets one of that size. */
#include <malloc.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>

static pthread_barrier_t barrier;

static void *fill(void *argument) {
    static void *blocks[4000];
    int count = 0;
    while (count < 4000 && (blocks[count] = malloc(900000)))
        count++;
    free(blocks[--count]);
    pthread_barrier_wait(&barrier);
    /* The other thread asks now. */
    pthread_barrier_wait(&barrier);
    void *volatile block = malloc(900000);
    puts(block ? "end" : "none");
    free(block);
    while (count > 0)
        free(blocks[--count]);
    return argument;
}

int main(void) {
    struct rlimit limit = {600 << 20, RLIM_INFINITY};
    pthread_t thread;
    mallopt(M_MMAP_THRESHOLD, 32 << 20);
    pthread_barrier_init(&barrier, NULL, 2);
    setrlimit(RLIMIT_AS, &limit);
    pthread_create(&thread, NULL, fill, NULL);
    pthread_barrier_wait(&barrier);
    for (int i = 0; i < 3; i++) {
        void *volatile block = malloc(500 << 20);
        free(block);
    }
    pthread_barrier_wait(&barrier);
    pthread_join(thread, NULL);
    return 0;
}
