/* Leaves with a damaged block by the way that it is told; correct with "whole". */
#define _GNU_SOURCE
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static char *kept, *others[1000];

__attribute__((noinline)) static void hoard(void)
{
    kept = malloc(40);
    for (int number = 0; number < 1000; number++)
        others[number] = malloc(100);
}

__attribute__((noinline)) static void lose(void)
{
    memset(malloc(77), 1, 77);
}

static void *leave_by_exec(void *argument)
{
    execl("/bin/true", "true", NULL);
    return NULL;
}

/* A thread that does nothing but allocate is what a signal is most likely to meet. */
static void *allocate(void *argument)
{
    for (;;)
        free(malloc(10 + rand() % 1000));
    return NULL;
}

static void handled(int signal)
{
    _exit(9);
}

static int leave(const char *how)
{
    pthread_t thread;
    int status;
    if (strcmp(how, "_exit") == 0)
        _exit(0);
    if (strcmp(how, "_Exit") == 0)
        _Exit(0);
    if (strcmp(how, "quick_exit") == 0)
        quick_exit(0);
    if (strcmp(how, "abort") == 0)
        abort();
    if (strcmp(how, "exec") == 0) {
        execl("/nowhere", "nowhere", NULL);
        execl("/bin/true", "true", NULL);
    }
    if (strcmp(how, "exec_in_thread") == 0) {
        pthread_create(&thread, NULL, leave_by_exec, NULL);
        pthread_join(thread, NULL);
    }
    if (strcmp(how, "failed_exec") == 0)
        execl("/nowhere", "nowhere", NULL);
    if (strcmp(how, "vfork") == 0) {
        if (vfork() == 0)
            _exit(0);
        wait(&status);
        _exit(0);
    }
    if (strcmp(how, "vfork_after_finding") == 0) {
        free(kept);
        free(kept);
        if (vfork() == 0)
            _exit(0);
        wait(&status);
        printf("child %d\n", WEXITSTATUS(status));
        fflush(stdout);
        _exit(0);
    }
    if (strcmp(how, "late_exec") == 0) {
        /* The look takes a while, and a child sends the signal meanwhile. */
        for (int number = 0; number < 3000000; number++)
            others[number % 2] = malloc(16);
        if (fork() == 0) {
            nanosleep(&(struct timespec){ 0, 5000000 }, NULL);
            kill(getppid(), SIGTERM);
            _exit(0);
        }
        execl("/bin/sleep", "sleep", "2", NULL);
    }
    if (strcmp(how, "SIGTERM") == 0)
        raise(SIGTERM);
    if (strcmp(how, "SIGINT") == 0)
        raise(SIGINT);
    if (strcmp(how, "SIGHUP") == 0)
        raise(SIGHUP);
    if (strcmp(how, "busy") == 0) {
        signal(SIGTERM, SIG_DFL);
        for (int number = 0; number < 4; number++)
            pthread_create(&thread, NULL, allocate, NULL);
        nanosleep(&(struct timespec){ 0, 20000000 }, NULL);
        kill(getpid(), SIGTERM);
        allocate(NULL);
    }
    if (strcmp(how, "handled") == 0) {
        signal(SIGTERM, handled);
        raise(SIGTERM);
    }
    if (strcmp(how, "child_by_signal") == 0) {
        if (fork() == 0) {
            raise(SIGTERM);
            _exit(1);
        }
        wait(&status);
        _exit(WIFSIGNALED(status) ? 0 : 8);
    }
    return 0;
}

int main(int count, char **arguments)
{
    struct rlimit none = { 0, 0 };
    setrlimit(RLIMIT_CORE, &none);
    hoard();
    lose();
    if (count > 2 && strcmp(arguments[2], "child") == 0) {
        /* A forked child that writes past what it has inherited, and leaves. */
        int status;
        if (fork() == 0) {
            kept[40] = 1;
            exit(leave(arguments[1]));
        }
        wait(&status);
        _exit(status);
    }
    if (count > 2 && strcmp(arguments[2], "inherited") == 0) {
        /* One that has inherited the damage and touches nothing of it. */
        int status;
        char byte = kept[40];
        kept[40] = 1;
        if (fork() == 0)
            _exit(0);
        wait(&status);
        kept[40] = byte;
        _exit(status);
    }
    if (count == 2)
        kept[40] = 1;
    return leave(arguments[1]);
}
