/* A handler on the first thread that waits until another thread has got on, while the program ends. */
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/time.h>
#include <unistd.h>

static volatile unsigned long progress;

static void *work(void *argument)
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGALRM);
    pthread_sigmask(SIG_BLOCK, &set, NULL);
    for (;;)
        progress++;
    return argument;
}

static void handle(int signal)
{
    unsigned long before = progress;
    (void)signal;
    while (progress == before)
        ;
}

int main(void)
{
    pthread_t thread;
    struct sigaction action = {.sa_handler = handle};
    struct itimerval often = {{0, 200}, {0, 200}};
    static void *kept[20000];
    for (int i = 0; i < 20000; i++)
        kept[i] = malloc(100);
    pthread_create(&thread, NULL, work, NULL);
    while (progress == 0)
        ;
    sigaction(SIGALRM, &action, NULL);
    printf("leak_alarm: end\n");
    setitimer(ITIMER_REAL, &often, NULL);
    return 0;
}
