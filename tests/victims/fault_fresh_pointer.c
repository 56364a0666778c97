/* Planted: a pointer is read from a new block before one was written there. */
#include <stdio.h>
#include <stdlib.h>

struct node { long value; struct node *next; };

__attribute__((noinline)) static struct node *make_node(void)
{
    struct node *node = malloc(sizeof *node);
    node->value = 0;
#ifdef FIXED
    node->next = node;
#endif
    return node;
}

__attribute__((noinline)) static void follow(struct node *volatile node)
{
    node->next->value = 0;
}

int main(void)
{
    printf("fault_fresh_pointer: start\n");
    fflush(stdout);
    struct node *node = make_node();
    follow(node);
    free(node);
    printf("fault_fresh_pointer: end\n");
    return 0;
}
