/* Two libraries, the same but for the size of a frame, loaded at one address in turn: a rule of one would be
 * wrong for the other. Another thread allocates meanwhile. */
#include <dlfcn.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

static volatile int done;

static void *busy(void *argument)
{
    while (!done)
        free(malloc(100));
    return argument;
}

int main(int count, char **arguments)
{
    pthread_t thread;
    void *before = NULL;
    int same = 0;
    if (count != 3)
        return 2;
    pthread_create(&thread, NULL, busy, NULL);
    for (int round = 0; round < 200; round++) {
        void *library = dlopen(arguments[1 + round % 2], RTLD_NOW);
        if (library == NULL) {
            fprintf(stderr, "%s\n", dlerror());
            return 1;
        }
        void *(*allocate)(size_t) = (void *(*)(size_t))dlsym(library, "allocate");
        same += (void *)allocate == before;
        before = (void *)allocate;
        for (int i = 0; i < 20; i++)
            free(allocate(50 + i));
        dlclose(library);
    }
    done = 1;
    pthread_join(thread, NULL);
    printf("%s at the same address\n", same > 150 ? "mostly" : "seldom");
    return 0;
}
