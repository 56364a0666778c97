/* Allocations below code without unwind information: with a frame pointer, with rubbish in its place, and
 * with a frame pointer that leads where nothing is. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

void *framed(size_t size), *rubbish(size_t size), *beyond(size_t size, void *frame);

__asm__(".text\n"
        "framed: push %rbp\n mov %rsp, %rbp\n sub $64, %rsp\n call malloc@PLT\n leave\n ret\n"
        "rubbish: push %rbp\n mov $0x1234567890, %rbp\n call malloc@PLT\n pop %rbp\n ret\n"
        "beyond: push %rbp\n mov %rsi, %rbp\n call malloc@PLT\n pop %rbp\n ret\n");

__attribute__((noinline)) static void leak_framed(void)
{
    memset(framed(1001), 1, 1001);
    __asm__ volatile("" ::: "memory");
}

__attribute__((noinline)) static void leak_rubbish(void)
{
    memset(rubbish(1002), 2, 1002);
    __asm__ volatile("" ::: "memory");
}

__attribute__((noinline)) static void leak_beyond(void)
{
    char here;
    /* Above this frame, below the stack's end and on it; and mapped, but with nothing behind. */
    memset(beyond(1003, &here + 8192 - (size_t)&here % 16), 3, 1003);
    char *pages = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    munmap(pages + 4096, 4096);
    memset(beyond(1004, pages + 4088), 4, 1004);
    memset(beyond(1005, (void *)-16), 5, 1005);
    memset(beyond(1006, NULL), 6, 1006);
}

int main(void)
{
    for (volatile int i = 0; i < 3; i++) {
        leak_framed();
        leak_rubbish();
        leak_beyond();
    }
    puts("stack_no_rules: end");
    return 0;
}
