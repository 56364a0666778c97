/* Correct: sets what signals do in each of the ways, and prints what is read back, what handlers see, and what exec and
 * fork pass on. */
#define _GNU_SOURCE
#include <setjmp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static sigjmp_buf back;
static char alternate[65536];
static int *volatile nowhere;

static const char *place_of(const void *address)
{
    const char *at = address;
    char here;
    if (at >= alternate && at < alternate + sizeof alternate)
        return "alternate stack";
    return llabs(at - &here) < 1 << 20 ? "own stack" : "elsewhere";
}

static void plain(int number)
{
    char here;
    struct sigaction now;
    sigaction(number, NULL, &now);
    printf("  handler of %d on the %s, now %s\n", number, place_of(&here),
           now.sa_handler == SIG_DFL ? "default" : "handled");
    siglongjmp(back, 1);
}

static void with_info(int number, siginfo_t *info, void *context)
{
    plain(number);
}

static const char *name_of(const struct sigaction *action)
{
    void *handler = action->sa_flags & SA_SIGINFO ? (void *)action->sa_sigaction : (void *)action->sa_handler;
    return handler == (void *)SIG_DFL ? "default" : handler == (void *)SIG_IGN ? "ignored"
        : handler == (void *)plain ? "plain" : handler == (void *)with_info ? "with_info" : "another";
}

static void read_back(const char *how, int number)
{
    struct sigaction now;
    sigaction(number, NULL, &now);
    printf("%s %d: %s, flags %x, mask %d\n", how, number, name_of(&now), now.sa_flags & ~0x4000000,
           sigismember(&now.sa_mask, SIGUSR2));
}

static void fault(const char *how)
{
    read_back(how, SIGSEGV);
    if (sigsetjmp(back, 1) == 0)
        *nowhere = 1;
    read_back("  after it", SIGSEGV);
}

static void set(int number, void *handler, int flags)
{
    struct sigaction new = { .sa_flags = flags }, old;
    if (flags & SA_SIGINFO)
        new.sa_sigaction = handler;
    else
        new.sa_handler = handler;
    sigaddset(&new.sa_mask, SIGUSR2);
    printf("sigaction(%d) gives %d, ", number, sigaction(number, &new, &old));
    printf("was %s, flags %x\n", name_of(&old), old.sa_flags & ~0x4000000);
}

static void read_stack(const char *when)
{
    stack_t stack;
    sigaltstack(NULL, &stack);
    printf("stack for handlers %s: %s, flags %d, %zu bytes\n", when,
           stack.ss_sp ? place_of(stack.ss_sp) : "none", stack.ss_flags, stack.ss_size);
}

int main(int count, char **arguments)
{
    static const int all[] = { SIGSEGV, SIGBUS, SIGABRT, SIGFPE, SIGILL, SIGTRAP, SIGSYS, SIGTERM, SIGINT, SIGHUP };
    setvbuf(stdout, NULL, _IOLBF, 0);
    free(malloc(10));
    for (size_t at = 0; at < sizeof all / sizeof *all; at++)
        read_back(count > 1 ? "after exec" : "at start", all[at]);
    if (count > 1)
        return 0;
    read_stack("at start");
    signal(SIGSEGV, plain), fault("signal");
    sysv_signal(SIGSEGV, plain), fault("sysv_signal");
    sigset(SIGSEGV, plain), fault("sigset");
    for (int turn = 0; turn < 2; turn++) {
        set(SIGSEGV, plain, 0), fault("no flags");
        set(SIGSEGV, with_info, SA_SIGINFO | SA_NODEFER), fault("SA_SIGINFO");
        set(SIGSEGV, plain, SA_RESETHAND), fault("SA_RESETHAND");
        set(SIGSEGV, with_info, SA_SIGINFO | SA_ONSTACK), fault("SA_ONSTACK");
        set(SIGUSR1, with_info, SA_SIGINFO | SA_ONSTACK | SA_RESETHAND);
        read_back("SIGUSR1", SIGUSR1);
        if (sigsetjmp(back, 1) == 0)
            raise(SIGUSR1);
        set(SIGSEGV, SIG_DFL, 0);
        stack_t stack = { .ss_sp = alternate, .ss_size = sizeof alternate, .ss_flags = turn ? SS_DISABLE : 0 };
        sigaltstack(&stack, NULL);
        read_stack(turn ? "taken away" : "given");
    }
    stack_t both = { .ss_sp = alternate, .ss_size = sizeof alternate };
    printf("both at one place: %d\n", sigaltstack(&both, &both));
    read_stack("given so");
    printf("signal gives %s\n", signal(SIGSEGV, SIG_IGN) == SIG_DFL ? "default" : "another");
    set(SIGBUS, with_info, SA_SIGINFO | SA_ONSTACK);
    set(SIGABRT, SIG_IGN, 0);
    set(SIGTERM, plain, 0);
    for (int forks = 0; forks < 2; forks++) {
        pid_t child = forks ? fork() : vfork();
        if (child == 0) {
            if (!forks)
                for (int number = 1; number < 32; number++)
                    signal(number, number == SIGSEGV || number == SIGABRT ? SIG_IGN : SIG_DFL);
            execl(arguments[0], arguments[0], "after", NULL);
        }
        waitpid(child, NULL, 0);
        for (size_t at = 0; at < sizeof all / sizeof *all; at++)
            read_back("in the parent", all[at]);
    }
    printf("dispositions: end\n");
    return 0;
}
