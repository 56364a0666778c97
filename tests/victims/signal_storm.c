/* Correct but for malloc() in a signal handler: SIGALRM storms every 200 us for argv[1] seconds. */
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>
#include <time.h>

#define KEPT 16
#define FILL 0xa5
#define THREADS 2

static atomic_int stop;
static atomic_uint runs;
/* Blocks of the handler alone. A slot is taken whole, since handlers may run in several threads. */
static _Atomic(unsigned char *) kept[KEPT];

static void broken(const char *who)
{
    printf("signal_storm: %s found its block changed\n", who);
    fflush(stdout);
    _Exit(1);
}

static void on_alarm(int signal)
{
    int saved = errno;
    (void)signal;
    unsigned run = atomic_fetch_add(&runs, 1);
    unsigned random = run * 2654435761u >> 8;
    size_t size = 2 + random % 599;
    unsigned char *p = malloc(size);
    if (p)
        memset(p, FILL, size);
    unsigned char *old = atomic_exchange(&kept[run % KEPT], p);
    if (old && (old[0] != FILL || old[1] != FILL))
        broken("the handler");
    free(old);
    errno = saved;
}

static void *busy(void *arg)
{
    unsigned seed = (unsigned)(size_t)arg;
    unsigned char *slots[64] = { 0 };
    size_t sizes[64] = { 0 };
    while (!stop) {
        int i = rand_r(&seed) % 64;
        size_t size = 1 + rand_r(&seed) % 2000;
        if (slots[i] && (slots[i][0] != i || slots[i][sizes[i] - 1] != i))
            broken("a thread");
        if (rand_r(&seed) % 3 == 0) {
            slots[i] = realloc(slots[i], size);
        } else {
            free(slots[i]);
            slots[i] = malloc(size);
        }
        memset(slots[i], i, size);
        sizes[i] = size;
    }
    for (int i = 0; i < 64; i++)
        free(slots[i]);
    return NULL;
}

static void *stopper(void *arg)
{
    struct timespec end, now;
    clock_gettime(CLOCK_MONOTONIC, &end);
    end.tv_sec += *(int *)arg;
    do {
        struct timespec nap = { 0, 10000000 };
        nanosleep(&nap, NULL);
        clock_gettime(CLOCK_MONOTONIC, &now);
    } while (now.tv_sec < end.tv_sec || (now.tv_sec == end.tv_sec && now.tv_nsec < end.tv_nsec));
    stop = 1;
    return NULL;
}

int main(int argc, char **argv)
{
    int seconds = argc > 1 ? atoi(argv[1]) : 3;
    pthread_t threads[THREADS + 1];
    struct sigaction action = { .sa_handler = on_alarm, .sa_flags = SA_RESTART };
    struct itimerval storm = { { 0, 200 }, { 0, 200 } }, calm = { { 0, 0 }, { 0, 0 } };
    printf("signal_storm: start\n");
    fflush(stdout);
    for (size_t i = 0; i < THREADS; i++)
        pthread_create(&threads[i], NULL, busy, (void *)(i + 1));
    pthread_create(&threads[THREADS], NULL, stopper, &seconds);
    sigaction(SIGALRM, &action, NULL);
    setitimer(ITIMER_REAL, &storm, NULL);
    busy((void *)99);
    setitimer(ITIMER_REAL, &calm, NULL);
    for (int i = 0; i <= THREADS; i++)
        pthread_join(threads[i], NULL);
    signal(SIGALRM, SIG_IGN);
    for (int i = 0; i < KEPT; i++)
        free(kept[i]);
    printf("signal_storm: %s, %u handler runs\n", runs > 0 ? "ok" : "no signal", runs);
    printf("signal_storm: end\n");
    return 0;
}
