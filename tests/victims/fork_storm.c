/* Forks from signal handlers that interrupt malloc and free, in several threads at once. Each child uses malloc. */
#define _GNU_SOURCE
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

static volatile int stop, children, bad;

static void on_signal(int number) {
    pid_t child = fork();
    if (child == 0) {
        alarm(20);
        for (int i = 0; i < 20; i++) {
            free(malloc(1000));
            char *large = malloc(1 << 20);
            large = realloc(large, 2 << 20);
            free(large);
        }
        _exit(7);
    }
    int status = 0;
    while (waitpid(child, &status, 0) < 0)
        ;
    __atomic_fetch_add(&children, 1, __ATOMIC_RELAXED);
    if (!WIFEXITED(status) || WEXITSTATUS(status) != 7)
        dprintf(2, "a child ended with %#x\n", status),
        __atomic_fetch_add(&bad, 1, __ATOMIC_RELAXED);
    (void)number;
}

static void *work(void *argument) {
    while (!stop) {
        char *large = malloc(300000);
        large[0] = 1;
        large = realloc(large, 700000);
        free(large);
        for (int i = 0; i < 50; i++)
            free(malloc(20 * i));
    }
    return argument;
}

int main(void) {
    struct sigaction action = {.sa_handler = on_signal, .sa_flags = SA_RESTART};
    sigaction(SIGUSR1, &action, 0);
    pthread_t threads[3];
    for (int i = 0; i < 3; i++)
        pthread_create(&threads[i], 0, work, 0);
    for (int i = 0; i < 120; i++) {
        for (int j = 0; j < 3; j++)
            pthread_kill(threads[j], SIGUSR1);
        usleep(3000);
    }
    stop = 1;
    for (int i = 0; i < 3; i++)
        pthread_join(threads[i], 0);
    printf("%s\n", children && !bad ? "end" : "bad");
    return bad != 0;
}
