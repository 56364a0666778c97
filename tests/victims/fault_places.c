/* Deadly signals in odd places, each of which ends the program as without us. */
#define _GNU_SOURCE
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <ucontext.h>
#include <unistd.h>

static int *volatile nowhere;

__attribute__((noinline)) static void fault(void)
{
    *nowhere = 1;
}

static pthread_barrier_t barrier;

static void *fault_with_others(void *argument)
{
    free(malloc(100));
    pthread_barrier_wait(&barrier);
    fault();
    return NULL;
}

static void hundred_threads(void)
{
    pthread_t thread;
    pthread_barrier_init(&barrier, NULL, 100);
    for (int number = 0; number < 100; number++)
        pthread_create(&thread, NULL, fault_with_others, NULL);
    pause();
}

static void in_handler(int signal)
{
    fault();
}

static void handler(void)
{
    signal(SIGUSR1, in_handler);
    raise(SIGUSR1);
}

static void alternate_stack(void)
{
    stack_t stack = { .ss_sp = malloc(65536), .ss_size = 65536 };
    struct sigaction action = { .sa_handler = in_handler, .sa_flags = SA_ONSTACK };
    sigaltstack(&stack, NULL);
    sigaction(SIGUSR1, &action, NULL);
    raise(SIGUSR1);
}

static void give_back(int number)
{
    signal(number, SIG_DFL);
}

/* The program's handler gives the signal its default effect, and the instruction comes again. */
static void own_handler(void)
{
    signal(SIGSEGV, give_back);
    fault();
}

static void nothing(int number) {}

/* The same by a flag. */
static void reset_handler(void)
{
    struct sigaction action = { .sa_handler = nothing, .sa_flags = SA_RESETHAND }, now;
    sigaction(SIGSEGV, &action, NULL);
    sigaction(SIGSEGV, NULL, &now);
    if (now.sa_handler != nothing || !(now.sa_flags & SA_RESETHAND))
        _exit(3);
    fault();
}

static void exits(int number)
{
    _exit(4);
}

/* What the program makes of a fault is its own affair. */
static void handled(void)
{
    signal(SIGSEGV, exits);
    fault();
}

static sigjmp_buf back;

static void jump(int number)
{
    siglongjmp(back, 1);
}

static void survived(void)
{
    struct sigaction action = { .sa_handler = jump, .sa_flags = SA_ONSTACK };
    sigaction(SIGSEGV, &action, NULL);
    for (volatile int number = 0; number < 100000; number++)
        if (sigsetjmp(back, 1) == 0)
            fault();
    exit(5);
}

static void coroutine(void)
{
    static ucontext_t context, caller;
    getcontext(&context);
    context.uc_stack.ss_sp = malloc(4096);
    context.uc_stack.ss_size = 4096;
    context.uc_link = &caller;
    makecontext(&context, fault, 0);
    swapcontext(&caller, &context);
}

static void forked(void)
{
    int status;
    if (fork() == 0)
        fault();
    wait(&status);
    exit(WIFSIGNALED(status) ? WTERMSIG(status) : 1);
}

/* A child that shares its parent's memory: nothing of it is told, and the parent's is not touched. */
static void shared(void)
{
    int status;
    for (int number = 0; number < 100; number++) {
        if (vfork() == 0) {
            signal(SIGSEGV, SIG_IGN);
            signal(SIGSEGV, SIG_DFL);
            syscall(SYS_kill, getpid(), SIGSEGV);
            _exit(1);
        }
        wait(&status);
        if (!WIFSIGNALED(status) || WTERMSIG(status) != SIGSEGV)
            exit(6);
    }
    fault();
}

static void at_end(void)
{
    fault();
}

static void exit_handler(void)
{
    atexit(at_end);
    exit(0);
}

static void blocked(void)
{
    sigset_t all;
    sigfillset(&all);
    sigprocmask(SIG_BLOCK, &all, NULL);
    fault();
}

static void ignored(void)
{
    signal(SIGSEGV, SIG_IGN);
    fault();
}

static void small_stack(void)
{
    pthread_t thread;
    pthread_attr_t attributes;
    pthread_barrier_init(&barrier, NULL, 1);
    pthread_attr_init(&attributes);
    pthread_attr_setstacksize(&attributes, 16384);
    pthread_create(&thread, &attributes, fault_with_others, NULL);
    pthread_join(thread, NULL);
}

static void filter(void)
{
    struct sock_filter all[] = { BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW) };
    struct sock_fprog program = { 1, all };
    free(malloc(100));
    prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
    prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program, 0, 0);
    fault();
}

/* A system call that a filter answers with a signal. */
static void refused_call(void)
{
    struct sock_filter all[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, 0),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_getppid, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_TRAP),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog program = { 4, all };
    free(malloc(100));
    prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
    prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program, 0, 0);
    getppid();
}

static void again(int number)
{
    raise(number);
}

/* A handler that is there once, after a filter: the signal that it sends ends the program. */
static void filtered_reset(int number, int refuses)
{
    struct sock_filter all[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, 0),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, refuses, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog program = { 4, all };
    struct sigaction action = { .sa_handler = again, .sa_flags = SA_RESETHAND | SA_NODEFER };
    free(malloc(100));
    sigaction(number, &action, NULL);
    prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
    prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program, 0, 0);
    raise(number);
}

static void reset_term(void)
{
    filtered_reset(SIGTERM, SYS_rt_sigaction);
}

static void reset_abort(void)
{
    filtered_reset(SIGABRT, SYS_rt_sigaction);
}

static void reset_segv(void)
{
    filtered_reset(SIGSEGV, SYS_getppid);
}

static void *end_at_once(void *argument)
{
    pthread_barrier_wait(&barrier);
    return NULL;
}

/* A thread ends after a filter that refuses what concerns stacks for handlers. */
static void filtered_end(void)
{
    pthread_t thread;
    pthread_barrier_init(&barrier, NULL, 2);
    pthread_create(&thread, NULL, end_at_once, NULL);
    filtered_reset(SIGWINCH, SYS_sigaltstack);
    pthread_barrier_wait(&barrier);
    pthread_join(thread, NULL);
    exit(0);
}

static void in_malloc(void)
{
    /* The heap's own memory goes away. */
    char *block = malloc(24);
    munmap((void *)((size_t)block & ~4095ul), 4096);
    free(block);
}

/* An access by rbp: the kernel calls a wrong address a stack's fault. */
static void frame_pointer(void)
{
    long *block = malloc(64);
    __asm__ volatile("push %%rbp\n mov (%0), %%rbp\n mov (%%rbp), %%rax\n pop %%rbp" : : "r"(block) : "rax");
}

/* A freed block in a register that has nothing to do with the fault. */
static void registers(void)
{
    char *block = malloc(64);
    free(block);
    __asm__ volatile("movl $1, 0" : : "b"(block));
}

/* The first page of a block with a mapping of its own cannot be accessed any more. */
static void hole(void)
{
    char *block = malloc(4 << 20);
    mprotect((void *)((size_t)block & ~4095ul), 4096, PROT_NONE);
    exit(0);
}

/* With the limit on core dumps that the caller has set. */
static void core(void)
{
    register long kept __asm__("r12") = 0x1234;
    __asm__ volatile("" : : "r"(kept));
    *nowhere = 1;
}

__attribute__((constructor)) static void before_main(void)
{
    const char *name = getenv("FAULT_BEFORE_MAIN");
    if (name)
        fault();
}

static const struct place {
    const char *name;
    void (*function)(void);
} places[] = {
    { "hundred_threads", hundred_threads }, { "handler", handler }, { "alternate_stack", alternate_stack },
    { "own_handler", own_handler }, { "reset_handler", reset_handler }, { "handled", handled },
    { "survived", survived }, { "coroutine", coroutine }, { "forked", forked }, { "shared", shared },
    { "exit_handler", exit_handler }, { "blocked", blocked }, { "ignored", ignored },
    { "small_stack", small_stack }, { "filter", filter }, { "refused_call", refused_call },
    { "in_malloc", in_malloc }, { "reset_term", reset_term }, { "reset_abort", reset_abort },
    { "reset_segv", reset_segv }, { "filtered_end", filtered_end }, { "core", core }, { "frame_pointer", frame_pointer },
    { "hole", hole }, { "registers", registers },
};

int main(int count, char **arguments)
{
    struct rlimit none = { 0, 0 };
    if (count < 2 || strcmp(arguments[1], "core") != 0)
        setrlimit(RLIMIT_CORE, &none);
    for (size_t at = 0; at < sizeof places / sizeof *places; at++)
        if (count > 1 && strcmp(places[at].name, arguments[1]) == 0)
            places[at].function();
    return 1;
}
