/* A block that only a vector register of a sleeping thread leads to. */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static volatile int up;

static void *sleep_with_it(void *argument) {
    char *block = malloc(321);
    /* Into xmm7's upper half, and out of everything else; then pause(2) by its number. */
    __asm__ volatile("pxor %%xmm7, %%xmm7\n"
                     "movq %0, %%xmm7\n"
                     "pslldq $8, %%xmm7\n"
                     "xor %0, %0\n"
                     "movl $1, %1\n"
                     "1: movl $34, %%eax\n"
                     "syscall\n"
                     "jmp 1b"
                     : "+r"(block), "=m"(up)
                     :
                     : "rax", "rcx", "r11", "xmm7", "memory");
    return argument;
}

int main(void) {
    pthread_t thread;
    pthread_create(&thread, 0, sleep_with_it, 0);
    while (!up)
        usleep(100);
    usleep(1000);
    puts("end");
    return 0;
}
