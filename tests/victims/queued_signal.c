/* Another use of the signal by which libc runs setuid in every thread: queued with a value of the program's own. */
#define _GNU_SOURCE
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

static volatile int up, stop;

static void *queue(void *argument) {
    siginfo_t info;
    memset(&info, 0, sizeof info);
    info.si_code = SI_QUEUE;
    info.si_pid = getpid();
    info.si_value.sival_ptr = (void *)0x10;
    up = 1;
    while (!stop)
        syscall(SYS_rt_tgsigqueueinfo, getpid(), syscall(SYS_gettid), 33, &info);
    return argument;
}

int main(void) {
    extern int __lsan_do_recoverable_leak_check(void) __attribute__((weak));
    pthread_t thread;
    /* libc installs its handler with the first setuid of a program with threads. */
    pthread_create(&thread, 0, queue, 0);
    while (!up)
        ;
    for (int i = 0; i < 20; i++)
        if (__lsan_do_recoverable_leak_check)
            __lsan_do_recoverable_leak_check();
    stop = 1;
    pthread_join(thread, 0);
    puts("end");
    return 0;
}
