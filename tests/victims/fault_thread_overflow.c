/* Planted: a thread's recursion that does not end. */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

__attribute__((noinline)) static long descend(long depth, volatile char *above)
{
    volatile char here[512];
    here[0] = above ? above[0] : 0;
#ifdef FIXED
    if (depth == 100)
        return here[0];
#endif
    return descend(depth + 1, here) + here[0];
}

static void *work(void *argument)
{
    return (void *)descend(0, NULL);
}

int main(void)
{
    printf("fault_thread_overflow: start\n");
    fflush(stdout);
    free(malloc(10));
    pthread_t thread;
    pthread_create(&thread, NULL, work, NULL);
    pthread_join(thread, NULL);
    printf("fault_thread_overflow: end\n");
    return 0;
}
