// Two owners of one buffer, and both clean up.
#include <stdio.h>
#include <stdlib.h>

struct reader {
    char *buffer;
};

static void close_reader(struct reader *reader)
{
    free(reader->buffer);
}

int main(void)
{
    struct reader first = {malloc(64)};
    struct reader second = first;
    close_reader(&first);
    close_reader(&second);
    puts("never reached");
    return 0;
}
