/* leak_roots KIND keep|lose: one block of 1237 bytes, whose only pointer is in one kind of root, or nowhere. */
#define _GNU_SOURCE
#include "../../include/mallocop.h"
#include <dlfcn.h>
#include <malloc.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <ucontext.h>
#include <unistd.h>

#define SIZE 1237

static int keep;
static pthread_barrier_t barrier;
static int pipe_ends[2];

/* The only pointer, or none. Noinline, so that no copy stays in the caller's frame. */
__attribute__((noinline)) static void *make(void)
{
    void *block = malloc(SIZE);
    return keep ? block : (void *)(uintptr_t)1;
}

/* Leaves nothing of what was on the stack below, or in registers that calls may change. */
__attribute__((noinline)) static void scrub(void)
{
    volatile char dead[16384];
    memset((void *)dead, 0, sizeof dead);
    __asm__ volatile("xor %%ecx, %%ecx\n xor %%edx, %%edx\n xor %%esi, %%esi\n xor %%edi, %%edi\n"
                     "xor %%r8d, %%r8d\n xor %%r9d, %%r9d\n xor %%r10d, %%r10d\n xor %%r11d, %%r11d" ::
                         : "rcx", "rdx", "rsi", "rdi", "r8", "r9", "r10", "r11", "cc");
}

static void *global;
static __thread void *local;

static void in_global(void) { global = make(); }
static void in_tls(void) { local = make(); }
static void in_interior(void) { global = (char *)make() + 700; }
static void in_end(void) { global = (char *)make() + SIZE; }
static void in_tagged(void) { global = (void *)((uintptr_t)make() | (uintptr_t)0xbeef << 48); }

static void in_module(void)
{
    void *module = dlopen(getenv("MODULE"), RTLD_NOW);
    void **(*find)(void) = (void **(*)(void))dlsym(module, "module_global");
    *find() = make();
}

static void in_module_tls(void)
{
    void *module = dlopen(getenv("MODULE"), RTLD_NOW);
    void **(*find)(void) = (void **(*)(void))dlsym(module, "module_local");
    *find() = make();
}

static void in_specific(void)
{
    pthread_key_t key;
    pthread_key_create(&key, NULL);
    pthread_setspecific(key, make());
}

static void in_late_specific(void)
{
    pthread_key_t key;
    for (int i = 0; i < 100; i++)
        pthread_key_create(&key, NULL);
    pthread_setspecific(key, make());
}

static void in_mapping(void)
{
    void **page = mmap(NULL, 1 << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    page[70000] = make();
}

static void in_shared_mapping(void)
{
    void **page = mmap(NULL, 1 << 20, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    page[70000] = make();
}

/* A file that is shorter than its mapping by now. */
static void in_short_file(void)
{
    int file = memfd_create("short", 0);
    ftruncate(file, 1 << 20);
    void **page = mmap(NULL, 1 << 20, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    page[100000] = (void *)1;
    page[100] = make();
    ftruncate(file, 4096);
}

/* Run with use_mappings=0. */
static void in_region(void)
{
    void **page = mmap(NULL, 1 << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    page[70000] = make();
    mallocop_add_root(page + 69000, 1024 * sizeof(void *));
}

static void in_epoll(void)
{
    int set = epoll_create1(0);
    struct epoll_event event = {.events = EPOLLIN, .data = {.ptr = make()}};
    epoll_ctl(set, EPOLL_CTL_ADD, pipe_ends[0], &event);
    memset(&event, 0, sizeof event);
}

static void in_timer(void)
{
    timer_t timer;
    struct sigevent event = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGUSR1};
    event.sigev_value.sival_ptr = make();
    timer_create(CLOCK_MONOTONIC, &event, &timer);
    memset(&event, 0, sizeof event);
}

static ucontext_t outside, inside;

static void coroutine(void)
{
    void *volatile block = make();
    scrub();
    swapcontext(&inside, &outside);
    free(block);
}

/* A suspended coroutine, whose stack is a block. */
static void in_coroutine(void)
{
    global = malloc(65536);
    getcontext(&inside);
    inside.uc_stack.ss_sp = global;
    inside.uc_stack.ss_size = 65536;
    inside.uc_link = &outside;
    makecontext(&inside, coroutine, 0);
    swapcontext(&outside, &inside);
}

static void *in_read(void *argument)
{
    void *volatile block = make();
    char byte;
    pthread_barrier_wait(&barrier);
    read(pipe_ends[0], &byte, 1);
    free(block);
    return argument;
}

static void *in_poll(void *argument)
{
    void *volatile block = make();
    pthread_barrier_wait(&barrier);
    poll(NULL, 0, -1);
    free(block);
    return argument;
}

static void *in_sleep(void *argument)
{
    void *volatile block = make();
    pthread_barrier_wait(&barrier);
    sleep(1000);
    free(block);
    return argument;
}

static void *in_futex(void *argument)
{
    void *volatile block = make();
    static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
    pthread_mutex_lock(&mutex);
    pthread_barrier_wait(&barrier);
    pthread_mutex_lock(&mutex);
    free(block);
    return argument;
}

static void *in_loop(void *argument)
{
    void *volatile block = make();
    pthread_barrier_wait(&barrier);
    for (volatile unsigned i = 0;; i++)
        free(malloc(10));
    free(block);
    return argument;
}

static void *in_thread_tls(void *argument)
{
    local = make();
    scrub();
    pthread_barrier_wait(&barrier);
    sleep(1000);
    return argument;
}

/* In rbx, nowhere else: pause(2). */
static void *in_register(void *argument)
{
    void *block = make();
    pthread_barrier_wait(&barrier);
    __asm__ volatile("mov %0, %%rbx\n"
                     "movq $0, %0\n"
                     "xor %%ecx, %%ecx\n"
                     "1: mov $34, %%eax\n"
                     "syscall\n"
                     "jmp 1b\n"
                     : "+m"(block)
                     :
                     : "rax", "rbx", "rcx", "r11", "memory");
    return argument;
}

static void end_slowly(void *block)
{
    pthread_barrier_wait(&barrier);
    sleep(1000);
    free(block);
}

/* On its way out. */
static void *in_ending(void *argument)
{
    pthread_key_t key;
    pthread_key_create(&key, end_slowly);
    void *block = make();
    pthread_setspecific(key, block);
    block = NULL;
    pthread_exit(NULL);
    return argument;
}

static void *never_runs(void *argument)
{
    sleep(1000);
    return argument;
}

static void handle(int signal)
{
    void *volatile block = make();
    (void)signal;
    pthread_barrier_wait(&barrier);
    sleep(1000);
    free(block);
}

static void end_here(void)
{
    printf("leak_roots: end\n");
    exit(0);
}

/* On a coroutine's stack, while another one above it in the same mapping, with a guard in front, ends the program. */
static void below_a_coroutine(void)
{
    size_t size = 65536;
    char *guard = mmap(NULL, 4096 + 2 * size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    mprotect(guard, 4096, PROT_NONE);
    getcontext(&inside);
    inside.uc_stack.ss_sp = guard + 4096;
    inside.uc_stack.ss_size = size;
    makecontext(&inside, coroutine, 0);
    swapcontext(&outside, &inside);
    ucontext_t last;
    getcontext(&last);
    last.uc_stack.ss_sp = guard + 4096 + size;
    last.uc_stack.ss_size = size;
    makecontext(&last, end_here, 0);
    setcontext(&last);
}

/* Of a handler that waits on its alternate stack, a block that only the kernel knows of. */
static void *on_alternate_stack(void *argument)
{
    stack_t stack = {.ss_sp = malloc(65536), .ss_size = 65536};
    sigaltstack(&stack, NULL);
    memset(&stack, 0, sizeof stack);
    struct sigaction action = {.sa_handler = handle, .sa_flags = SA_ONSTACK};
    sigaction(SIGUSR2, &action, NULL);
    pthread_kill(pthread_self(), SIGUSR2);
    return argument;
}

__attribute__((noinline)) static void leave_on_stack(int depth)
{
    void *volatile block = malloc(SIZE);
    if (depth > 0)
        leave_on_stack(depth - 1);
    block = depth < 0 ? NULL : block;
}

/* A stale pointer below the stack pointer: `keep` keeps another one above it. */
static void *below_stack_pointer(void *argument)
{
    void *volatile block = keep ? make() : NULL;
    if (!keep)
        leave_on_stack(0);
    pthread_barrier_wait(&barrier);
    poll(NULL, 0, -1);
    free(block);
    return argument;
}

static void *end_with_it_on_stack(void *argument)
{
    if (!keep)
        leave_on_stack(0);
    return argument;
}

/* A thread that has ended; `keep` keeps the block elsewhere. */
static void on_dead_stack(void)
{
    pthread_t thread;
    pthread_create(&thread, NULL, end_with_it_on_stack, NULL);
    pthread_join(thread, NULL);
    if (keep)
        global = make();
}

/* Freed blocks lead nowhere; `keep` has a live one. */
static void in_freed_block(void)
{
    void **holder = malloc(5000);
    holder[300] = malloc(SIZE);
    if (keep)
        global = holder;
    else
        free(holder);
}

__attribute__((noinline)) static void exit_with_it(void)
{
    void *volatile block = make();
    scrub();
    printf("leak_roots: end\n");
    exit(block == NULL);
}

/* In a register that calls preserve, while exit is called. */
__attribute__((noinline)) static void exit_with_it_in_register(void)
{
    register void *block __asm__("r14") = make();
    __asm__ volatile("" : "+r"(block));
    scrub();
    printf("leak_roots: end\n");
    __asm__ volatile("" : "+r"(block));
    exit(0);
}

struct root {
    const char *kind;
    void (*put)(void);
    void *(*run)(void *);
};

static const struct root roots[] = {
    {"global", in_global, NULL},
    {"tls", in_tls, NULL},
    {"interior", in_interior, NULL},
    {"end", in_end, NULL},
    {"tagged", in_tagged, NULL},
    {"module", in_module, NULL},
    {"module-tls", in_module_tls, NULL},
    {"specific", in_specific, NULL},
    {"late-specific", in_late_specific, NULL},
    {"mapping", in_mapping, NULL},
    {"shared-mapping", in_shared_mapping, NULL},
    {"short-file", in_short_file, NULL},
    {"region", in_region, NULL},
    {"epoll", in_epoll, NULL},
    {"timer", in_timer, NULL},
    {"coroutine", in_coroutine, NULL},
    {"below-coroutine", below_a_coroutine, NULL},
    {"dead-stack", on_dead_stack, NULL},
    {"freed-block", in_freed_block, NULL},
    {"exit-stack", exit_with_it, NULL},
    {"exit-register", exit_with_it_in_register, NULL},
    {"thread-read", NULL, in_read},
    {"thread-poll", NULL, in_poll},
    {"thread-sleep", NULL, in_sleep},
    {"thread-futex", NULL, in_futex},
    {"thread-loop", NULL, in_loop},
    {"thread-tls", NULL, in_thread_tls},
    {"thread-register", NULL, in_register},
    {"thread-ending", NULL, in_ending},
    {"thread-alternate", NULL, on_alternate_stack},
    {"thread-below-sp", NULL, below_stack_pointer},
    {"thread-own-stack", NULL, in_poll},
    {"thread-new", NULL, never_runs},
};

static void start(const struct root *root)
{
    pthread_t thread;
    pthread_attr_t attributes;
    pthread_attr_init(&attributes);
    if (strcmp(root->kind, "thread-own-stack") == 0)
        pthread_attr_setstack(&attributes, memalign(4096, 1 << 18), 1 << 18);
    if (strcmp(root->kind, "thread-new") == 0) {
        pthread_create(&thread, &attributes, root->run, make());
        return;
    }
    pthread_create(&thread, &attributes, root->run, NULL);
    pthread_barrier_wait(&barrier);
    usleep(5000);
}

int main(int argc, char **argv)
{
    /* Once before anything is made: the loader, which binds memset at its first call, saves all registers on the
     * stack below what is scrubbed. */
    scrub();
    printf("leak_roots: start\n");
    keep = argc > 2 && strcmp(argv[2], "keep") == 0;
    pipe(pipe_ends);
    pthread_barrier_init(&barrier, NULL, 2);
    for (size_t i = 0; i < sizeof roots / sizeof *roots; i++) {
        if (argc < 2 || strcmp(roots[i].kind, argv[1]) != 0)
            continue;
        if (roots[i].put)
            roots[i].put();
        else
            start(&roots[i]);
        scrub();
    }
    printf("leak_roots: end\n");
    return 0;
}
