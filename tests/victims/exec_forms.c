/* Starts a program by each of the calls that do; what it prints tells that arguments and environment have come. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

static void start(int form)
{
    char *const words[] = {"sh", "-c", "echo $0 $* $MARK", "a", "b", "c", "d", "e", "f", NULL};
    char *const own[] = {"MARK=own", "PATH=/bin:/usr/bin", getenv("LD_PRELOAD") ? "X=1" : "X=0", NULL};
    switch (form) {
    case 0: execl("/bin/sh", "sh", "-c", "echo $0 $* $MARK", "a", "b", "c", "d", "e", "f", NULL); break;
    case 1: execlp("sh", "sh", "-c", "echo $0 $* $MARK", "a", "b", NULL); break;
    case 2: execle("/bin/sh", "sh", "-c", "echo $0 $* $MARK", "a", "b", "c", "d", "e", "f", "g", NULL, own); break;
    case 3: execv("/bin/sh", words); break;
    case 4: execvp("sh", words); break;
    case 5: execvpe("sh", words, own); break;
    case 6: execve("/bin/sh", words, own); break;
    case 7: fexecve(open("/bin/sh", O_RDONLY), words, environ); break;
    case 8: execl("/nowhere", "nowhere", NULL); printf("cannot: %m\n"); fflush(stdout); break;
    case 9: execlp("no-such-program", "x", NULL); printf("cannot: %m\n"); fflush(stdout); break;
    }
    _exit(9);
}

int main(void)
{
    setenv("MARK", "given", 1);
    setvbuf(stdout, NULL, _IONBF, 0);
    for (int form = 0; form < 10; form++) {
        int status;
        printf("%d: ", form);
        pid_t child = form % 2 ? vfork() : fork();
        if (child == 0)
            start(form);
        waitpid(child, &status, 0);
        printf("   %d\n", WEXITSTATUS(status));
    }
    char *words[] = {"sh", "-c", "echo $MARK", NULL};
    pid_t child;
    int status, error = posix_spawn(&child, "/bin/sh", NULL, NULL, words, environ);
    waitpid(child, &status, 0);
    printf("posix_spawn: %d %d\n", error, WEXITSTATUS(status));
    error = posix_spawnp(&child, "sh", NULL, NULL, words, environ);
    waitpid(child, &status, 0);
    printf("posix_spawnp: %d %d\n", error, WEXITSTATUS(status));
    return 0;
}
