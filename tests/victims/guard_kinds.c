/* A wrong access of each kind to a block that is the first of its site, or the second. With -DFIXED none is wrong.
 * Usage: guard_kinds KIND. */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#ifdef FIXED
#define WRONG 0
#else
#define WRONG 1
#endif

static char *volatile block;

__attribute__((noinline)) static char *make(size_t size) {
    char *made = malloc(size);
    memset(made, 'a', size);
    return made;
}

/* Two blocks of one site. */
__attribute__((noinline)) static char *make_second(size_t size) {
    char *made = 0;
    for (int round = 0; round < 2; round++) {
        free(made);
        made = make(size);
    }
    return made;
}

__attribute__((noinline)) static int read_at(long at) { return block[at]; }
__attribute__((noinline)) static void write_at(long at) { block[at] = 'b'; }
__attribute__((noinline)) static long read_word_at(long at) { return *(volatile long *)(block + at); }
__attribute__((noinline)) static void fill(long size) { memset(block, 'c', size); }

/* Calls whose buffer is larger than its block, or freed: the kernel ends them early or refuses them. */
static void call(const char *name) {
    size_t bytes = WRONG ? 200 : 96;
    block = make(96);
    int zero = open("/dev/zero", O_RDONLY), pipes[2], sockets[2];
    if (pipe(pipes) || socketpair(AF_UNIX, SOCK_STREAM, 0, sockets))
        exit(2);
    static char much[1000];
    struct iovec parts[2] = { { much, 100 }, { block, bytes } };
    struct msghdr message = { .msg_iov = parts, .msg_iovlen = 2 };
    if (write(pipes[1], much, 1000) != 1000 || write(sockets[1], much, 1000) != 1000)
        exit(2);
    long done = -2;
    if (!strcmp(name, "read"))
        done = read(pipes[0], block, bytes);
    else if (!strcmp(name, "read_freed")) {
        if (WRONG)
            free(block);
        done = read(pipes[0], block, 96);
        block = WRONG ? 0 : block;
    } else if (!strcmp(name, "write"))
        done = write(pipes[1], block, bytes);
    else if (!strcmp(name, "readv"))
        done = readv(pipes[0], parts, 2);
    else if (!strcmp(name, "writev"))
        done = writev(pipes[1], parts, 2);
    else if (!strcmp(name, "recv"))
        done = recv(sockets[0], block, bytes, 0);
    else if (!strcmp(name, "recvmsg"))
        done = recvmsg(sockets[0], &message, 0);
    else if (!strcmp(name, "send"))
        done = send(sockets[0], block, bytes, 0);
    else if (!strcmp(name, "fread")) {
        /* Larger than the stream's buffer: read to where it is to go. */
        FILE *file = fopen("/dev/zero", "r");
        free(block);
        block = make(8192);
        done = fread(block, 1, WRONG ? 16384 : 8192, file);
        fclose(file);
    } else if (!strcmp(name, "fwrite")) {
        FILE *file = tmpfile();
        free(block);
        block = make(8192);
        setvbuf(file, 0, _IONBF, 0);
        done = fwrite(block, 1, WRONG ? 16384 : 8192, file);
        fclose(file);
    } else if (!strcmp(name, "bound")) {
        /* A bound is no error: no more is there than the block holds. */
        char *exact = much;
        while (read(pipes[0], exact, 100) == 100 && --bytes > 191 * WRONG + 87 * !WRONG)
            ;
        done = read(zero, block, 96);
        int file = open("/proc/self/comm", O_RDONLY);
        done += read(file, block, 1 << 20) > 0;
    }
    printf("%s: %ld\n", name, done);
}

static void *in_thread(void *kind) {
    read_at(96 - !WRONG);
    return kind;
}

static void on_fault(int signal) {
    (void)signal;
    static const char text[] = "the program's own handler\n";
    if (write(1, text, sizeof text - 1) < 0)
        _exit(3);
    _exit(4);
}

int main(int count, char **arguments) {
    const char *kind = count > 1 ? arguments[1] : "";
    printf("guard_kinds: start\n");
    fflush(stdout);
    if (!strcmp(kind, "read_after")) {
        block = make(96);
        read_at(96 - !WRONG);
    } else if (!strcmp(kind, "write_after")) {
        block = make(96);
        write_at(96 - !WRONG);
    } else if (!strcmp(kind, "read_straddling")) {
        block = make(96);
        read_word_at(WRONG ? 92 : 88);
    } else if (!strcmp(kind, "fill_after")) {
        block = make(96);
        fill(96 + WRONG * 8);
    } else if (!strcmp(kind, "read_before")) {
        block = make_second(96);
        read_at(-WRONG);
    } else if (!strcmp(kind, "write_before")) {
        block = make_second(96);
        write_at(-WRONG);
    } else if (!strcmp(kind, "read_freed")) {
        block = make(96);
        if (WRONG)
            free(block);
        read_at(5);
        if (!WRONG)
            free(block);
        block = 0;
    } else if (!strcmp(kind, "write_freed")) {
        block = make(96);
        if (WRONG)
            free(block);
        write_at(5);
        if (!WRONG)
            free(block);
        block = 0;
    } else if (!strcmp(kind, "large")) {
        block = make(1 << 20);
        read_at((1 << 20) - !WRONG);
    } else if (!strcmp(kind, "thread")) {
        block = make(96);
        pthread_t threads[4];
        for (int i = 0; i < 4; i++)
            pthread_create(&threads[i], 0, in_thread, 0);
        for (int i = 0; i < 4; i++)
            pthread_join(threads[i], 0);
    } else if (!strncmp(kind, "call_", 5)) {
        call(kind + 5);
    } else if (!strcmp(kind, "own_handler")) {
        signal(SIGSEGV, on_fault);
        signal(SIGBUS, on_fault);
        block = make(96);
        read_at(96 - !WRONG);
    }
    free(block);
    printf("guard_kinds: end\n");
    return 0;
}
