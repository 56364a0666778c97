/* Planted: a member of a null pointer is read. */
#include <stdio.h>
#include <stdlib.h>

struct node { long first, second; struct node *next; };

__attribute__((noinline)) static long second_of_next(struct node *node)
{
    return node->next->second;
}

int main(void)
{
    printf("fault_null_read: start\n");
    fflush(stdout);
    struct node *node = calloc(1, sizeof *node);
#ifdef FIXED
    node->next = node;
#endif
    long second = second_of_next(node);
    free(node);
    printf("fault_null_read: end\n");
    return second;
}
