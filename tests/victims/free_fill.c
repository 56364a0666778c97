/* A pointer that is read from a freed block, or from one that was never written, is freed. */
#include <stdlib.h>

struct node {
    struct node *next;
    char text[40];
};

int main(int count, char **arguments) {
    struct node *volatile node = malloc(sizeof *node);
    if (count == 1)
        free(node);
    free(node->next);
    return 0;
}
