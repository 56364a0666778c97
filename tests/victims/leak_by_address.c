/* A leak, by way of malloc's address. */
#include <stdio.h>
#include <stdlib.h>

void *(*volatile get)(size_t) = malloc;

static void lose(void) {
    void *volatile block = get(300);
    block = 0;
}

int main(void) {
    lose();
    puts("end");
    return 0;
}
