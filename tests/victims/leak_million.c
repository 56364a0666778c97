/* leak_million keep|lose: a list of a million nodes of 24 bytes. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct node {
    struct node *next;
    long value[2];
};

static struct node *head;

__attribute__((noinline)) static void build(void)
{
    for (int i = 0; i < 1000000; i++) {
        struct node *node = malloc(sizeof *node);
        *node = (struct node){.next = head};
        head = node;
    }
}

__attribute__((noinline)) static void scrub_stack(void)
{
    volatile char dead[4096];
    memset((void *)dead, 0, sizeof dead);
}

int main(int argc, char **argv)
{
    setvbuf(stdout, NULL, _IONBF, 0);
    build();
    if (argc > 1 && strcmp(argv[1], "lose") == 0)
        head = NULL;
    scrub_stack();
    printf("leak_million: end\n");
    return 0;
}
