/* A thread that no signal wakes, as it waits for a child of vfork, and a lost block. */
#define _GNU_SOURCE
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

static pthread_barrier_t barrier;

__attribute__((noinline)) static void leak(void)
{
    char *volatile p = malloc(1237);
    p = NULL;
}

static void *run(void *argument)
{
    struct timespec time = {5, 0};
    pthread_barrier_wait(&barrier);
    if (vfork() == 0) {
        // Whoever reads our output does not wait for the child.
        for (int i = 0; i < 3; i++)
            syscall(SYS_close, i);
        syscall(SYS_nanosleep, &time, NULL);
        syscall(SYS_exit_group, 0);
    }
    return argument;
}

int main(void)
{
    pthread_t thread;
    pthread_barrier_init(&barrier, NULL, 2);
    pthread_create(&thread, NULL, run, NULL);
    pthread_barrier_wait(&barrier);
    usleep(100000);
    leak();
    printf("leak_stuck: end\n");
    return 0;
}
