/* leak_filter MODE: loses 1237 bytes under a seccomp filter. `kill`: one of its own that ends the process at openat,
 * tgkill, and their like; `error`: the same, and a double free; `probe`: none, it only asks whether one could be
 * installed. `launch PROGRAM...`: one that refuses ptrace and process_vm_readv, as containers have, for another
 * program. */
#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

static void install(const int *calls, int count, unsigned action)
{
    struct sock_filter code[64];
    int at = 0;
    code[at++] = (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr));
    for (int i = 0; i < count; i++) {
        code[at++] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, calls[i], 0, 1);
        code[at++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, action);
    }
    code[at++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
    struct sock_fprog filter = {.len = at, .filter = code};
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 || syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &filter) != 0) {
        perror("seccomp");
        exit(77);
    }
}

__attribute__((noinline)) static void leak(void)
{
    char *volatile p = malloc(1237);
    p = NULL;
}

static void *wait_for_ever(void *argument)
{
    for (;;)
        pause();
    return argument;
}

int main(int argc, char **argv)
{
    static const int refused[] = {SYS_ptrace, SYS_process_vm_readv};
    static const int deadly[] = {SYS_openat, SYS_open, SYS_tgkill, SYS_tkill, SYS_rt_tgsigqueueinfo, SYS_readlink,
                                 SYS_ptrace, SYS_process_vm_readv, SYS_getpid, SYS_readlinkat, SYS_getcwd};
    pthread_t thread;
    if (argc > 2) {
        install(refused, 2, SECCOMP_RET_ERRNO | EPERM);
        execvp(argv[2], argv + 2);
        return 127;
    }
    printf("leak_filter: start\n");
    pthread_create(&thread, NULL, wait_for_ever, NULL);
    if (argc > 1 && strcmp(argv[1], "probe") != 0)
        install(deadly, sizeof deadly / sizeof *deadly, SECCOMP_RET_KILL_PROCESS);
    else if (syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, NULL) == 0 || errno != EFAULT)
        return 1;
    leak();
    if (argc > 1 && strcmp(argv[1], "error") == 0) {
        char *volatile p = malloc(10);
        free(p);
        free(p);
    }
    printf("leak_filter: end\n");
    return 0;
}
