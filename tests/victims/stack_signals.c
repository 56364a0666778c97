/* Handlers on alternative stacks, which allocate, come in wherever two threads are: in prologues, in
 * epilogues, in libc, in procedure linkage tables. */
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

static volatile long handled;
static __thread void *volatile kept;

__attribute__((noinline)) static void in_handler(int depth)
{
    void *block = malloc(40 + depth);
    if (depth > 0)
        in_handler(depth - 1);
    free(kept);
    kept = block;
}

static void handle(int signal)
{
    (void)signal;
    in_handler(3);
    __atomic_fetch_add(&handled, 1, __ATOMIC_RELAXED);
}

__attribute__((noinline)) static long climb(int depth, char *text)
{
    char local[64];
    snprintf(local, sizeof local, "%s %d", text, depth);
    void *block = malloc(strlen(local) + 1);
    strcpy(block, local);
    long sum = depth > 0 ? climb(depth - 1, text) : 0;
    sum += strtol(strrchr(block, ' '), NULL, 10);
    free(block);
    return sum;
}

static void *work(void *argument)
{
    stack_t stack = {.ss_sp = malloc(64 << 10), .ss_size = 64 << 10};
    sigaltstack(&stack, NULL);
    time_t end = time(NULL) + 3;
    long rounds = 0;
    while (time(NULL) < end) {
        if (climb(25, argument) != 25 * 26 / 2)
            abort();
        rounds++;
    }
    stack.ss_flags = SS_DISABLE;
    sigaltstack(&stack, NULL);
    free(stack.ss_sp);
    return rounds > 0 ? argument : NULL;
}

int main(void)
{
    struct sigaction action = {.sa_handler = handle, .sa_flags = SA_ONSTACK | SA_RESTART};
    /* One handler does not come in on the other: both change what is kept. */
    sigaddset(&action.sa_mask, SIGALRM);
    sigaddset(&action.sa_mask, SIGPROF);
    sigaction(SIGALRM, &action, NULL);
    sigaction(SIGPROF, &action, NULL);
    struct itimerval often = {{0, 173}, {0, 173}}, less = {{0, 1000}, {0, 1000}};
    pthread_t thread;
    pthread_create(&thread, NULL, work, "thread");
    setitimer(ITIMER_REAL, &often, NULL);
    setitimer(ITIMER_PROF, &less, NULL);
    work("main");
    pthread_join(thread, NULL);
    memset(&often, 0, sizeof often);
    setitimer(ITIMER_REAL, &often, NULL);
    setitimer(ITIMER_PROF, &often, NULL);
    printf("handled %s\n", handled > 1000 ? "often" : "too seldom");
    return 0;
}
