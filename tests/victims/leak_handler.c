/* A chain of blocks that a signal handler allocates while malloc is interrupted, so that some come from a place of
 * their own: what lies behind those in the chain is kept by nothing else. */
#define _GNU_SOURCE
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/time.h>
#include <time.h>

static void **volatile head;
static volatile int apart;
static volatile int count;

static void handle(int signal)
{
    (void)signal;
    void **block = malloc(64);
    if (block == NULL || count >= 20000)
        return;
    if (head != NULL && llabs((intptr_t)block - (intptr_t)head) > (intptr_t)1 << 30)
        apart++;
    block[0] = head;
    head = block;
    count++;
}

int main(void)
{
    struct sigaction action = {.sa_handler = handle};
    struct itimerval often = {{0, 50}, {0, 50}}, never = {{0, 0}, {0, 0}};
    time_t end = time(NULL) + 60;
    sigaction(SIGALRM, &action, NULL);
    setitimer(ITIMER_REAL, &often, NULL);
    while (apart < 4 && time(NULL) < end)
        free(malloc(100));
    setitimer(ITIMER_REAL, &never, NULL);
    signal(SIGALRM, SIG_IGN);
    printf("leak_handler: %s\n", apart < 4 ? "nothing apart" : "end");
    return 0;
}
