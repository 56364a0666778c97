/* Planted: a pointer is read from a freed block and followed. */
#include <stdio.h>
#include <stdlib.h>

struct node { long value; struct node *next; };

__attribute__((noinline)) static struct node *make_node(void)
{
    struct node *node = calloc(1, sizeof *node);
    node->next = node;
    return node;
}

__attribute__((noinline)) static void release_node(struct node *node)
{
    free(node);
}

__attribute__((noinline)) static long follow(struct node *volatile node)
{
    return node->next->value;
}

int main(void)
{
    printf("fault_freed_pointer: start\n");
    fflush(stdout);
    struct node *node = make_node();
#ifdef FIXED
    long value = follow(node);
    release_node(node);
#else
    release_node(node);
    long value = follow(node);
#endif
    printf("fault_freed_pointer: end\n");
    return value;
}
