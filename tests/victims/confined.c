/* Gives everything up by which a file could be opened, forks, and is killed with what it hoards. */
#define _GNU_SOURCE
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

static void *kept[7];

__attribute__((noinline)) static void hoard(void)
{
    for (int i = 0; i < 7; i++)
        kept[i] = malloc(4242);
}

int main(int argc, char **argv)
{
    if (chroot(argv[1]) != 0 || chdir("/") != 0 || setgid(65534) != 0 || setuid(65534) != 0) {
        perror("confined");
        return 2;
    }
    closefrom(0);
    if (fork() == 0) {
        hoard();
        raise(SIGKILL);
    }
    wait(NULL);
    return argc - 2;
}
