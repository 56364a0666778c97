#!/usr/bin/env bash
# Runs mallocop in other releases of Linux, each with its own glibc: real programs and faulty ones.
#
#   tools/matrix.sh [--keep DIR] [--mallocop FILE] [RELEASE...]     all releases, if none is named
#
#   --keep DIR         roots stay in DIR/RELEASE and are used again, logs are in DIR/RELEASE.logs
#   --mallocop FILE    the command to check (target/release/mallocop)
#
# Each release gets a root by debootstrap from $MIRROR (http://deb.debian.org/debian), in a folder
# below ${TMPDIR:-/var/tmp} that goes away in the end. The checks run in a chroot there, in mount
# and process namespaces of their own: no mount, no process is left behind. A line for each check
# says `ok`, `skipped` or what differed. The exit status is 1 if a check failed, 125 if nothing was
# checked. Needs root, debootstrap and unshare.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)

# Release, suite, debootstrap's script (older ones have none of the suite's name), packages.
releases() {
    cat <<'END'
forky forky sid python3-minimal,perl,git,bash,gcc,libc6-dev
END
}

fail() { echo "matrix.sh: $*" >&2; exit 125; }
row() { printf '%-8s %-20s %s\n' "$release" "$1" "$2"; }

# What the checks run beside tests/victims, each file behind a line with its name. At the end of
# `threads keys` one thread still waits: only its key and its variable lead to its blocks.
sources() {
    cat <<'END'
=== threads.c
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>
static pthread_t threads[8];
static pthread_key_t key;
static __thread char *local;
static atomic_int freed, ready;
static void start(int n, void *work(void *), void *argument) {
    while (n--) if (pthread_create(&threads[n], NULL, work, argument)) abort();
}
static void join(int n) { while (n--) pthread_join(threads[n], NULL); }
static void *rounds(void *none) {
    char *blocks[64] = {0};
    for (int i = 0; i < 20000; i++) {
        free(blocks[i % 64]);
        blocks[i % 64] = malloc(1 + i % 700);
        blocks[i % 64][i % 700] = 1;
    }
    for (int i = 0; i < 64; i++) free(blocks[i]);
    return none;
}
static void destroy(void *block) { free(block); freed++; }
static void *keep(void *waits) {
    pthread_setspecific(key, malloc(100));
    local = malloc(50);
    ready = waits != NULL;
    while (waits) pause();
    return free(local), NULL;
}
static void keys(void) {
    pthread_key_create(&key, destroy);
    start(4, keep, NULL); join(4);
    start(1, keep, &key);
    while (!ready) usleep(1000);
    printf("%d freed\n", freed);
}
int main(int count, char **arguments) {
    int status = 0, mode = arguments[1][0];
    if (mode == 'k') { keys(); return 0; }
    start(8, rounds, NULL); join(8);
    for (int i = 0; i < 10 && mode == 'f' && status == 0; i++) {
        if (fork() == 0) { start(2, rounds, NULL); join(2); exit(0); }
        wait(&status);
    }
    return printf("8 threads, %d\n", status) < 0;
}
=== locals.cpp
#include <cstdio>
#include <string>
#include <thread>
static thread_local std::string local(200, 'x');
int main() {
    for (int i = 0; i < 4; i++) std::thread([] { local += local; }).join();
    std::printf("%zu characters\n", local.size());
}
=== script.py
import subprocess, sys, threading
def work(n): sums[n] = sum(len(str(i) * 20) for i in range(20000))
sums = [0] * 8
threads = [threading.Thread(target=work, args=(n,)) for n in range(8)]
for thread in threads: thread.start()
for thread in threads: thread.join()
child = subprocess.run([sys.executable, '-c', 'print("child")'], capture_output=True)
print(sums, child.stdout, child.stderr, child.returncode)
=== script.pl
for my $n (1 .. 4) {
    my $child = open(my $from, '-|') // die;
    if (!$child) { my %words = map { $_ => $_ x 9 } 1 .. 2000; print scalar(%words); exit $n }
    print <$from>, ' words, status ', close($from) ? 0 : $? >> 8, "\n";
}
=== script.git
export GIT_CONFIG_GLOBAL=/dev/null GIT_AUTHOR_DATE='1700000000 +0000' GIT_AUTHOR_NAME=a
export GIT_COMMITTER_DATE='1700000000 +0000' GIT_COMMITTER_NAME=a EMAIL=a@example.org
rm -rf repository
git init -q -b main repository && cd repository || exit
for n in 1 2 3; do echo "$n" >>file; git add file; git commit -q -m "change $n"; done
git log -p --stat
=== script.bash
words=$(for n in {1..500}; do echo "word$((n % 50))"; done | sort | uniq -c | sort | head -n 3)
(cd / && echo "in $PWD, $words" | (read -r line; echo "subshell: $line"))
while read -r a b; do echo "$b $a"; done < <(printf '%s\n' 'x y' 'z w' | tr a-z A-Z)
(exit 7)
END
}

# run NAME COMMAND...: runs it in the root; its status is $status, its output $logs/NAME.{out,err}.
run() {
    local name=$1
    shift
    status=0
    timeout -k 5 120 chroot "$root" env -i -C /tmp PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/tmp \
        LC_ALL=C.UTF-8 "$@" >"$logs/$name.out" 2>"$logs/$name.err" </dev/null || status=$?
}
watched() { run "$1" ./mallocop run "${@:2}"; }

expect_status() { ((status == $1)) || problems+=("${2:+$2: }status $status, not $1"); }
expect_same() { cmp -s "$logs/$1" "$logs/$2" || problems+=("$2 is not as $1"); }
expect_words() { grep -Eq -- "$2" "$logs/$1.err" || problems+=("$1.err is without '$2'"); }

# check TITLE FUNCTION ARGUMENTS...: one line of the table.
check() {
    local result=ok
    problems=()
    "${@:2}"
    ((!${#problems[@]})) || result="failed: $(printf '%s; ' "${problems[@]}")"
    row "$1" "${result%; }"
}

compile() { # COMPILER SOURCE
    run "${2%.*}.compile" "$1" -g -w -pthread -o "${2%.*}" "$2"
    expect_status 0 "$1 $2"
}

# faulty VICTIM STATUS SUMMARY FUNCTION: the report has these words, and this function in a stack.
faulty() {
    compile gcc "$1.c"
    watched "$1" -- "./$1"
    expect_status "$2"
    expect_words "$1" "^SUMMARY: mallocop: $3"
    expect_words "$1" "#[0-9]+ $4 "
}

# same NAME LEAKS STATUS COMMAND...: with mallocop it writes and returns what it does without, and
# there is no heap error and nothing unwatched. Where LEAKS are `allowed`, some may be found.
same() {
    local name=$1 leaks=$2 expected=$3 quiet=(--quiet) found
    shift 3
    run "$name" "$@"
    expect_status "$expected" "without mallocop"
    [ -s "$logs/$name.out" ] || problems+=("without mallocop: no output")
    [ "$leaks" = none ] || quiet+=(--detect-leaks=0)
    watched "$name.quiet" "${quiet[@]}" -- "$@"
    expect_status "$expected" quiet
    expect_same "$name.out" "$name.quiet.out"
    expect_same "$name.err" "$name.quiet.err"
    watched "$name.full" -- "$@"
    [[ $leaks == allowed && $status == 23 ]] || expect_status "$expected" full
    expect_same "$name.out" "$name.full.out"
    expect_words "$name.full" '^mallocop [0-9.]+: watching '
    ! found=$(grep -Pm 1 'ERROR: mallocop: (?!detected memory leaks)|not watched|was checked$' \
        "$logs/$name.full.err") || problems+=("$found")
}
compiled() { compile "$1" "$2"; same "${@:3}"; }

# The checks of one release, in its namespaces: --inside RELEASE ROOT LOGS MALLOCOP.
if [ "${1:-}" = --inside ]; then
    release=$2 root=$3 logs=$4
    ulimit -c 0
    mount -t proc proc "$root/proc"
    mount -t sysfs -o ro sysfs "$root/sys"
    mount --rbind /dev "$root/dev"
    mount -t tmpfs tmpfs "$root/tmp"
    mount -t tmpfs -o mode=755 tmpfs "$root/var/cache"
    cp "$here"/../tests/victims/*.c "$root/tmp"
    cp "$5" "$root/tmp/mallocop"
    sources | awk -v folder="$root/tmp/" '/^=== / { file = folder $2; next } { print >file }'
    row "$(chroot "$root" getconf GNU_LIBC_VERSION)" "Linux $(uname -r)"
    check "threads" compiled gcc threads.c threads none 0 ./threads join
    check "leak" faulty leak 23 '300 byte\(s\) leaked in 3 allocation\(s\)\.$' leak_direct
    check "write past the end" faulty overflow_by_one 134 heap-buffer-overflow make_block
    check "write after free" faulty write_after_free_evicted 134 heap-use-after-free release_block
    check "double free" faulty double_free 134 double-free break_it
    check "invalid free" faulty free_interior 134 bad-free break_it
    check "python3" same python allowed 0 python3 -c "$(cat "$root/tmp/script.py")"
    check "perl" same perl allowed 0 perl script.pl
    check "git" same git allowed 0 bash script.git
    check "bash" same bash allowed 7 bash script.bash
    check "fork after threads" same fork none 0 ./threads fork
    check "fork among threads" compiled gcc fork_busy.c fork_busy allowed 0 ./fork_busy 100
    check "thread keys, TLS" same keys none 0 ./threads keys
    [ -e "$root/usr/bin/g++" ] || { row "C++ thread_local" "skipped: no g++"; exit 0; }
    check "C++ thread_local" compiled g++ locals.cpp locals none 0 ./locals
    exit
fi

folder=
mallocop=$here/../target/release/mallocop
wanted=()
while (($#)); do
    case $1 in
        --keep) folder=${2:?DIR is missing}; shift ;;
        --mallocop) mallocop=${2:?FILE is missing}; shift ;;
        -*) sed -n '2,13s/^# \{0,1\}//p' "$0" >&2; exit 2 ;;
        *) wanted+=("$1") ;;
    esac
    shift
done
((${#wanted[@]})) || mapfile -t wanted < <(releases | cut -d ' ' -f 1)
((EUID == 0)) || fail "only root can make a root"
[ -x "$mallocop" ] || fail "there is no $mallocop: cargo build --release makes it"
if [ -z "$folder" ]; then
    folder=$(mktemp -d "${TMPDIR:-/var/tmp}/matrix.XXXXXX")
    trap 'rm -rf --one-file-system "$folder"' EXIT
fi
mkdir -p "$folder"
folder=$(realpath "$folder")
# A root that is not finished is RELEASE.part, and is made anew.
for release in "${wanted[@]}"; do
    root=$folder/$release logs=$folder/$release.logs
    read -r _ suite script packages < <(releases | grep "^$release ") || fail "no release $release"
    mkdir -p "$logs"
    if [ ! -d "$root" ]; then
        rm -rf --one-file-system "$root.part"
        if ! unshare --mount debootstrap --variant=minbase --include="$packages" "$suite" \
            "$root.part" "${MIRROR:-http://deb.debian.org/debian}" \
            "/usr/share/debootstrap/scripts/$script" >"$logs/debootstrap" 2>&1; then
            row debootstrap "failed: $(tail -n 1 "$logs/debootstrap")"
            continue
        fi
        mv "$root.part" "$root"
    fi
    unshare --mount --pid --fork --kill-child bash "$here/matrix.sh" --inside "$release" "$root" \
        "$logs" "$mallocop" || row "all checks" "failed: they ended early"
done | awk '{ print; fflush() } $NF == "ok" { passed++ } / failed: / { failed++ }
    END { printf "%d passed, %d failed\n", passed, failed; exit (failed > 0) }'
