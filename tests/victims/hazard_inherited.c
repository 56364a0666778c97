/* Planted: a block is overrun before fork(), so that the children inherit the damage. */
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

static char *block;

int main(void)
{
    printf("hazard_inherited: start\n");
    block = malloc(10);
    block[12] = 1;
    for (int i = 0; i < 3; i++) {
        fflush(stdout);
        int status = -1;
        pid_t pid = fork();
        if (pid == 0)
            exit(0);
        waitpid(pid, &status, 0);
        printf("hazard_inherited: child %d\n", status);
    }
    printf("hazard_inherited: end\n");
    return 0;
}
