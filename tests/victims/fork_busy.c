/* Correct: a process whose threads are busy in the heap forks again and again (argv[1] times). */
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#define THREADS 4
#define BLOCKS 100

static atomic_int stop;
static char *blocks[BLOCKS];

static void *busy(void *arg)
{
    unsigned seed = (unsigned)(size_t)arg;
    char *slots[64] = { 0 };
    while (!stop) {
        int i = rand_r(&seed) % 64;
        size_t size = 1 + rand_r(&seed) % 3000;
        if (rand_r(&seed) % 3 == 0) {
            slots[i] = realloc(slots[i], size);
        } else {
            free(slots[i]);
            slots[i] = malloc(size);
        }
        slots[i][0] = slots[i][size - 1] = 1;
    }
    for (int i = 0; i < 64; i++)
        free(slots[i]);
    return NULL;
}

/* Every other block is replaced. In a child the old ones are inherited from the parent. */
static void replace_blocks(int first)
{
    for (int i = first; i < BLOCKS; i += 2) {
        free(blocks[i]);
        blocks[i] = malloc(1 + i * 20);
        blocks[i][0] = 1;
    }
}

static void child(void)
{
    char *own[BLOCKS];
    alarm(30); /* A child that hangs is killed, and the parent tells. */
    for (int i = 0; i < BLOCKS; i++)
        own[i] = malloc(1 + i * 30);
    replace_blocks(0);
    for (int i = 0; i < BLOCKS; i++)
        free(own[i]);
    replace_blocks(1);
    _exit(0);
}

int main(int argc, char **argv)
{
    int count = argc > 1 ? atoi(argv[1]) : 1000;
    pthread_t threads[THREADS];
    printf("fork_busy: start\n");
    fflush(stdout);
    replace_blocks(0);
    replace_blocks(1);
    for (size_t i = 0; i < THREADS; i++)
        pthread_create(&threads[i], NULL, busy, (void *)(i + 1));
    for (int i = 0; i < count; i++) {
        pid_t pid = i % 2 ? vfork() : fork();
        if (pid == 0) {
            if (i % 2 == 0)
                child();
            execl("/bin/true", "true", (char *)NULL);
            _exit(127);
        }
        int status = -1;
        if (pid < 0 || waitpid(pid, &status, 0) != pid || status != 0) {
            printf("fork_busy: child %d failed, status %#x\n", i, status);
            return 1;
        }
        replace_blocks(i % 2);
    }
    stop = 1;
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    for (int i = 0; i < BLOCKS; i++)
        free(blocks[i]);
    printf("fork_busy: %d children ok\n", count);
    printf("fork_busy: end\n");
    return 0;
}
