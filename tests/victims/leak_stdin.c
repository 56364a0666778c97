/* Loses a block while another thread sits in fgets(stdin) with the stream locked, and leaves its output to exit. */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static pthread_barrier_t barrier;

static void *read_line(void *argument)
{
    char line[80];
    pthread_barrier_wait(&barrier);
    fgets(line, sizeof line, stdin);
    return argument;
}

__attribute__((noinline)) static void leak(void)
{
    char *volatile p = malloc(1237);
    p = NULL;
}

__attribute__((noinline)) static void scrub_stack(void)
{
    volatile char dead[4096];
    memset((void *)dead, 0, sizeof dead);
}

int main(int argc, char **argv)
{
    pthread_t thread;
    pthread_barrier_init(&barrier, NULL, 2);
    pthread_create(&thread, NULL, read_line, NULL);
    pthread_barrier_wait(&barrier);
    usleep(20000);
    leak();
    scrub_stack();
    printf("leak_stdin: end");
    return argc > 1 ? atoi(argv[1]) : 0;
}
