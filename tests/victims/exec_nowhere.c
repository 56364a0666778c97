/* exec with pointers that cannot be read: EFAULT. */
#include <errno.h>
#include <stdio.h>
#include <unistd.h>

extern char **environ;

static int is_refused(const char *path, char **arguments, char **environment) {
    errno = 0;
    return execve(path, arguments, environment) == -1 && errno == EFAULT;
}

int main(void) {
    char *arguments[] = {"true", 0};
    char *bad[] = {(char *)8, 0};
    int good = is_refused(0, arguments, environ) && is_refused((char *)8, arguments, environ)
               && is_refused("/bin/true", arguments, (char **)8)
               && is_refused("/bin/true", arguments, bad) && is_refused("/bin/true", bad, environ);
    puts(good ? "end" : "bad");
    return !good;
}
