/* Correct: only the kernel's stack for handlers and a vector register lead to two blocks when a signal ends the program. */
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

__attribute__((noinline)) static void give_stack(void)
{
    stack_t stack = { .ss_sp = malloc(65536), .ss_size = 65536 };
    sigaltstack(&stack, NULL);
}

int main(void)
{
    give_stack();
    long pid = getpid();
    void *block = malloc(1000);
    /* kill(pid, SIGTERM), with the block in xmm7 alone. */
    __asm__ volatile("movq %0, %%xmm7\n xor %0, %0\n mov $62, %%eax\n mov %1, %%rdi\n mov $15, %%esi\n syscall"
                     : "+r"(block) : "r"(pid) : "rax", "rdi", "rsi", "rcx", "r11", "xmm7", "memory");
    for (;;)
        pause();
}
