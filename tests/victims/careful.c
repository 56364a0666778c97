/* A correct program that bears every refused request, and prints nothing. */
#include <stdlib.h>
#include <string.h>

struct node {
    struct node *next;
    char bytes[40];
};

int main(void)
{
    struct node *list = NULL;
    for (int i = 0; i < 100; i++) {
        struct node *node = malloc(sizeof *node);
        if (node == NULL)
            break;
        memset(node->bytes, i, sizeof node->bytes);
        node->next = list;
        list = node;
    }
    char *large = calloc(300, 1000);
    if (large != NULL) {
        char *larger = realloc(large, 600000);
        if (larger != NULL)
            large = larger;
        large[0] = 1;
    }
    free(large);
    while (list != NULL) {
        struct node *next = list->next;
        free(list);
        list = next;
    }
    return 0;
}
