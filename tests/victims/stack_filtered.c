/* A filter for system calls that the program installs by instructions of its own refuses the call by which walks ask what
 * can be read (advice 22 of madvise). A thread then calls itself over some pages. */
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <stddef.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

static void *volatile kept;

static long call(long number, long first, long second, long third)
{
    long result;
    register long fourth __asm__("r10") = 0, fifth __asm__("r8") = 0;
    __asm__ volatile("syscall"
                     : "=a"(result)
                     : "a"(number), "D"(first), "S"(second), "d"(third), "r"(fourth), "r"(fifth)
                     : "rcx", "r11", "memory");
    return result;
}

__attribute__((noinline)) static void deeper(int more)
{
    char frame[500];
    __asm__ volatile("" : : "r"(frame) : "memory");
    if (more)
        deeper(more - 1);
    else
        kept = malloc(1001);
    __asm__ volatile("" : : "r"(frame) : "memory");
}

static void *work(void *argument)
{
    deeper(30);
    return argument;
}

int main(void)
{
    struct sock_filter filter[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_madvise, 0, 3),
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, args[2])),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 22, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog program = {6, filter};
    kept = malloc(7);
    free(kept);
    if (call(SYS_prctl, PR_SET_NO_NEW_PRIVS, 1, 0) || call(SYS_prctl, PR_SET_SECCOMP, 2, (long)&program))
        return 2;
    pthread_t thread;
    pthread_create(&thread, 0, work, 0);
    pthread_join(thread, 0);
    return 0;
}
