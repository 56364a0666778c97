// Keeps a pointer to an entry that was removed, and counts it once more.
#include <stdio.h>
#include <stdlib.h>

struct entry {
    int hits;
    char name[28];
};

static struct entry *add_entry(void)
{
    struct entry *entry = calloc(1, sizeof *entry);
    return entry;
}

static void remove_entry(struct entry *entry)
{
    free(entry);
}

int main(void)
{
    struct entry *last = add_entry();
    remove_entry(last);
    last->hits = 1;
    puts("counted");
    return 0;
}
