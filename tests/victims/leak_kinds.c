/* Leaks of each kind: three blocks of 100 bytes; a head that leads to two more; a cycle of two, and one of three
 * that leads to another block; 500 bytes that stay reachable. */
#include "../../include/mallocop.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct node {
    struct node *next;
    struct node *other;
    char rest[24];
};

static char *kept;

__attribute__((noinline)) static struct node *make_node(struct node *next)
{
    struct node *node = calloc(1, sizeof *node);
    node->next = next;
    return node;
}

__attribute__((noinline)) static void leak_direct(void)
{
    volatile char *p = malloc(100);
    *p = 1;
}

__attribute__((noinline)) static void leak_list(void)
{
    struct node *first = make_node(NULL);
    struct node *second = make_node(first);
    struct node **head = malloc(24);
    memset(head, 0, 24);
    *head = second;
}

__attribute__((noinline)) static void leak_pair(void)
{
    struct node *one = calloc(1, 64);
    one->next = calloc(1, 64);
    one->next->next = one;
}

__attribute__((noinline)) static void leak_ring(void)
{
    struct node *one = calloc(1, 72);
    one->next = calloc(1, 72);
    one->next->next = calloc(1, 72);
    one->next->next->next = one;
    one->next->other = calloc(1, 33);
}

__attribute__((noinline)) static void scrub_stack(void)
{
    volatile char dead[4096];
    memset((void *)dead, 0, sizeof dead);
}

int main(void)
{
    setvbuf(stdout, NULL, _IONBF, 0);
    printf("leak_kinds: start\n");
    kept = malloc(500);
    for (int i = 0; i < 3; i++)
        leak_direct();
    leak_list();
    leak_pair();
    leak_ring();
    scrub_stack();
    printf("leak_kinds: end\n");
    return 0;
}
