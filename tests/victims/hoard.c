/* Hoards 7 blocks of 4242 bytes, frees an eighth one, and then ends, or does not, as it is told. */
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

static void *kept[7];

__attribute__((noinline)) static void hoard(void)
{
    for (int i = 0; i < 8; i++) {
        void *block = malloc(4242);
        if (i < 7)
            kept[i] = block;
        else
            free(block);
    }
}

/* A child by the bare system call: no handler of pthread_atfork runs. */
static int clone_raw(void)
{
    return (int)syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0);
}

static void daemonize(void)
{
    if (fork() != 0)
        exit(0);
    setsid();
    if (fork() != 0)
        _exit(0);
    chdir("/");
    for (int fd = 0; fd < 3; fd++)
        close(fd);
}

int main(int argc, char **argv)
{
    const char *how = argc > 1 ? argv[1] : "";
    if (strcmp(how, "daemon") == 0) {
        daemonize();
        hoard();
        raise(SIGKILL);
    }
    if (strcmp(how, "clone") == 0) {
        int child = clone_raw();
        if (child == 0) {
            hoard();
            raise(SIGKILL);
        }
        waitpid(child, NULL, 0);
        return 0;
    }
    hoard();
    if (strcmp(how, "kill") == 0)
        raise(SIGKILL);
    if (strcmp(how, "_exit") == 0)
        _exit(7);
    if (strcmp(how, "libc") == 0)
        return daemon(0, 0);
    if (strcmp(how, "abort") == 0)
        abort();
    if (strcmp(how, "exec") == 0)
        execl("/bin/true", "true", NULL);
    if (strcmp(how, "forks-losing") == 0) {
        /* Two hundred children of a process that has lost ten thousand blocks. */
        for (int i = 0; i < 10000; i++)
            kept[0] = malloc(50);
        kept[0] = NULL;
        for (int i = 0; i < 200; i++) {
            if (fork() == 0)
                exit(0);
            wait(NULL);
        }
    }
    if (strcmp(how, "oom") == 0) {
        for (;;)
            memset(mmap(NULL, 1 << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0), 1, 1 << 20);
    }
    if (strcmp(how, "forks") == 0) {
        /* Children that allocate and free nothing, some of what they have inherited, and something of their own. */
        for (int i = 0; i < 200; i++) {
            if (fork() == 0) {
                if (i % 2)
                    free(kept[0]);
                free(malloc(100));
                exit(0);
            }
            wait(NULL);
        }
    }
    return 0;
}
