/* Threads that fork all the time while the program ends. */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

static void *run(void *argument)
{
    for (;;) {
        char *block = malloc(100);
        pid_t child = fork();
        if (child == 0)
            _exit(0);
        free(block);
        waitpid(child, NULL, 0);
    }
    return argument;
}

int main(void)
{
    pthread_t threads[4];
    for (int i = 0; i < 4; i++)
        pthread_create(&threads[i], NULL, run, NULL);
    usleep(30000);
    printf("leak_forks: end\n");
    return 0;
}
