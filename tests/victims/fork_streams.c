/* Readers of a file, a thread that flushes all streams, forks: glibc's bug 19431. Argument: a large file. */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

static volatile int stop;
static const char *file;

static void *read_lines(void *argument) {
    FILE *stream = fopen(file, "r");
    while (!stop) {
        char *line = 0;
        size_t room = 0;
        rewind(stream);
        getdelim(&line, &room, 0, stream);
        free(line);
    }
    fclose(stream);
    return argument;
}

static void *flush_all(void *argument) {
    while (!stop)
        fflush(0);
    return argument;
}

static void *fork_often(void *argument) {
    while (!stop) {
        pid_t child = fork();
        if (!child) {
            fflush(0);
            free(malloc(100));
            _exit(0);
        }
        waitpid(child, 0, 0);
    }
    return argument;
}

int main(int count, char **arguments) {
    pthread_t threads[13];
    file = arguments[1];
    for (int i = 0; i < 13; i++)
        pthread_create(&threads[i], 0, i < 8 ? read_lines : i < 9 ? flush_all : fork_often, 0);
    sleep(2);
    stop = 1;
    for (int i = 0; i < 13; i++)
        pthread_join(threads[i], 0);
    puts("end");
    return count != 2;
}
