/* A signal stack from malloc that only the kernel knows: of a thread that lives, and of the one that ends the program. */
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static volatile int up;

static void take_stack(void) {
    stack_t stack = {0};
    stack.ss_sp = malloc(65536);
    stack.ss_size = 65536;
    sigaltstack(&stack, 0);
}

static void *wait_there(void *argument) {
    take_stack();
    up = 1;
    pause();
    return argument;
}

int main(void) {
    pthread_t thread;
    pthread_create(&thread, 0, wait_there, 0);
    while (!up)
        usleep(100);
    take_stack();
    puts("end");
    return 0;
}
