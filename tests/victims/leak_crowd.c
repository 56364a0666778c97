/* Threads that start others and end, with blocks handed from one to the next, while the program ends. */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static void *run(void *argument)
{
    pthread_t next;
    pthread_attr_t attributes;
    char *block = argument;
    char *fresh = malloc(100 + (size_t)(unsigned char)block[0]);
    fresh[0] = (char)(block[0] + 1);
    free(block);
    pthread_attr_init(&attributes);
    pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
    if (pthread_create(&next, &attributes, run, fresh) != 0)
        free(fresh);
    return NULL;
}

int main(void)
{
    for (int i = 0; i < 4; i++)
        run(calloc(1, 50));
    usleep(20000);
    printf("leak_crowd: end\n");
    return 0;
}
