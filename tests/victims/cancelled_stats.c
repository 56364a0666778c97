/* malloc_stats in a thread that is cancelled: with glibc it is no cancellation point. */
#include <malloc.h>
#include <pthread.h>
#include <stdio.h>

static void *print_stats(void *argument) {
    pthread_cancel(pthread_self());
    malloc_stats();
    puts("end");
    pthread_testcancel();
    return argument;
}

int main(void) {
    pthread_t thread;
    pthread_create(&thread, 0, print_stats, 0);
    return pthread_join(thread, 0);
}
