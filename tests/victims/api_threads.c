/* Correct: threads hand blocks to each other, and fork and spawn while others are busy. */
#define NAME "api_threads"
#include "api_checks.h"
#include <pthread.h>
#include <spawn.h>
#include <stdatomic.h>
#include <sys/wait.h>

/* --- Threads --- */

#define THREADS 4
#define BLOCKS 20000
#define BOXES 500

struct parcel {
    size_t size;
    size_t key;
    unsigned char bytes[];
};

static struct parcel *_Atomic boxes[BOXES];

static struct parcel *packed(unsigned *seed)
{
    size_t size = rand_r(seed) % 1000 == 0 ? 300000 : rand_r(seed) % (1 << rand_r(seed) % 13);
    struct parcel *made = malloc(sizeof(struct parcel) + size);
    CHECK(is_aligned(made, 16));
    made->size = size;
    made->key = rand_r(seed) % KEYS;
    fill(made->bytes, size, made->key);
    return made;
}

static void unpack(struct parcel *got, unsigned *seed)
{
    if (got == NULL)
        return;
    CHECK(holds(got->bytes, got->size, got->key));
    if (rand_r(seed) % 4 == 0) {
        got = realloc(got, sizeof(struct parcel) + got->size + 100);
        CHECK(got && holds(got->bytes, got->size, got->key));
    }
    free(got);
}

static void *sends_and_takes(void *argument)
{
    unsigned seed = (uintptr_t)argument;
    for (int i = 0; i < BLOCKS; i++) {
        struct parcel *made = packed(&seed);
        unpack(atomic_exchange(&boxes[rand_r(&seed) % BOXES], made), &seed);
    }
    return NULL;
}

static void handed_over(void)
{
    pthread_t threads[THREADS];
    unsigned seed = 1;
    for (uintptr_t i = 0; i < THREADS; i++)
        CHECK(pthread_create(&threads[i], NULL, sends_and_takes, (void *)(i + 1)) == 0);
    for (int i = 0; i < THREADS; i++)
        CHECK(pthread_join(threads[i], NULL) == 0);
    for (int i = 0; i < BOXES; i++)
        unpack(atomic_exchange(&boxes[i], NULL), &seed);
}

/* --- Processes --- */

#define BUSY 2
#define FORKERS 2
#define FORKS 50
#define INHERITED 60

static atomic_int stop;

static void *busy(void *argument)
{
    unsigned seed = (uintptr_t)argument;
    char *slots[50] = {0};
    while (!stop) {
        int i = rand_r(&seed) % 50;
        size_t size = 1 + rand_r(&seed) % (rand_r(&seed) % 100 ? 4000 : 300000);
        if (rand_r(&seed) % 3 == 0) {
            slots[i] = realloc(slots[i], size);
        } else {
            free(slots[i]);
            slots[i] = rand_r(&seed) % 2 ? malloc(size) : memalign(64, size);
        }
        CHECK(slots[i]);
        slots[i][0] = slots[i][size - 1] = 1;
    }
    for (int i = 0; i < 50; i++)
        free(slots[i]);
    return NULL;
}

static size_t inherited_size(int i)
{
    return i == 0 ? 200 << 10 : 1 + i * i * 3;
}

static void renew(char **blocks, int i)
{
    free(blocks[i]);
    blocks[i] = malloc(inherited_size(i));
    CHECK(blocks[i]);
    fill(blocks[i], inherited_size(i), i);
}

static void *in_a_thread_of_the_child(void *argument)
{
    free(argument);
    char *volatile p = malloc(3000);
    fill(p, 3000, 1);
    return p;
}

/* A child that hangs is killed, and the parent tells. */
static void child(char **blocks, int number)
{
    alarm(30);
    for (int i = 0; i < INHERITED; i++) {
        CHECK(holds(blocks[i], inherited_size(i), i));
        if (i % 3 == 0)
            renew(blocks, i);
        else if (i % 3 == 1)
            blocks[i] = realloc(blocks[i], 2 * inherited_size(i) + 100);
        CHECK(holds(blocks[i], inherited_size(i), i));
    }
    char *volatile clean = calloc(1, 200000);
    CHECK(is_zero(clean, 200000));
    free(clean);
    if (number % 8 == 0) {
        pthread_t thread;
        void *made = NULL;
        char *given = strdup("given to the thread");
        CHECK(pthread_create(&thread, NULL, in_a_thread_of_the_child, given) == 0);
        CHECK(pthread_join(thread, &made) == 0 && holds(made, 3000, 1));
        free(made);
    }
    for (int i = 0; i < INHERITED; i++)
        free(blocks[i]);
    _exit(0);
}

static void spawns(void)
{
    char *arguments[] = {"true", NULL};
    pid_t pid = -1;
    int status = -1;
    CHECK(posix_spawn(&pid, "/bin/true", NULL, NULL, arguments, environ) == 0);
    CHECK(waitpid(pid, &status, 0) == pid && status == 0);
}

static void *forks(void *unused)
{
    char *blocks[INHERITED] = {0};
    for (int i = 0; i < INHERITED; i++)
        renew(blocks, i);
    for (int number = 0; number < FORKS; number++) {
        int status = -1;
        pid_t pid = fork();
        if (pid == 0)
            child(blocks, number);
        CHECK(pid > 0 && waitpid(pid, &status, 0) == pid && status == 0);
        renew(blocks, number % INHERITED);
        if (number % 8 == 0)
            spawns();
        if (number % 8 == 4) {
            malloc_trim(0);
            CHECK(mallinfo2().uordblks >= 60000);
            described_as_xml();
        }
    }
    for (int i = 0; i < INHERITED; i++)
        free(blocks[i]);
    return unused;
}

static void forked_while_busy(void)
{
    pthread_t busy_threads[BUSY], forkers[FORKERS];
    for (uintptr_t i = 0; i < BUSY; i++)
        CHECK(pthread_create(&busy_threads[i], NULL, busy, (void *)(i + 1)) == 0);
    for (int i = 0; i < FORKERS; i++)
        CHECK(pthread_create(&forkers[i], NULL, forks, NULL) == 0);
    for (int i = 0; i < FORKERS; i++)
        CHECK(pthread_join(forkers[i], NULL) == 0);
    stop = 1;
    for (int i = 0; i < BUSY; i++)
        CHECK(pthread_join(busy_threads[i], NULL) == 0);
}

int main(void)
{
    prepare();
    tune();
    handed_over();
    forked_while_busy();
    printf(NAME ": end\n");
    return 0;
}
