#!/usr/bin/env bash
# Runs the project's own fuzz targets, several at a time, and keeps their corpora small.
#
#   tools/fuzz.sh [OPTION...] [TARGET...]     all targets, if none is named
#
#   --seconds N        each target runs that long (60)
#   --cpu-minutes N    each target runs until it has used that much processor time
#   --runs N           each target makes so many executions
#   --jobs N           targets at a time (as many as there are processors)
#   --under LIBRARY    preloads this, as `mallocop library` prints it: the targets run under mallocop
#   --seeds            afterwards, replaces fuzz/seeds by the smallest inputs that cover the same
#
# Inputs come from fuzz/seeds/TARGET (in git) and fuzz/corpus/TARGET (not in git); the corpus takes the new ones
# and is minimized in the end. Dictionaries are fuzz/dictionaries/TARGET.dict. What is found lies in
# fuzz/artifacts/TARGET, and the exit status is 1. Logs are in fuzz/target/logs. Needs cargo-fuzz and a C++ compiler.
set -euo pipefail
cd "$(dirname "$0")/../fuzz"

limit=(-max_total_time=60)
cpu_seconds=0
jobs=$(nproc)
under=
seeds=false
targets=()
while (($#)); do
    case $1 in
        --seconds) limit=("-max_total_time=$2"); shift ;;
        --cpu-minutes) limit=(); cpu_seconds=$((60 * $2)); shift ;;
        --runs) limit=("-runs=$2"); shift ;;
        --jobs) jobs=$2; shift ;;
        --under) under=$2; shift ;;
        --seeds) seeds=true ;;
        -*) sed -n '2,16s/^# \{0,1\}//p' "$0" >&2; exit 2 ;;
        *) targets+=("$1") ;;
    esac
    shift
done
cargo fuzz --version >/dev/null 2>&1 || {
    echo "fuzz.sh: cargo-fuzz is not there: cargo install --locked cargo-fuzz" >&2
    exit 125
}
((${#targets[@]})) || mapfile -t targets < <(cargo fuzz list)

triple=$(rustc -vV | sed -n 's/^host: //p')
built=target/$triple/release
logs=target/logs
mkdir -p "$logs"
for target in "${targets[@]}"; do
    # These look through much memory byte by byte: libFuzzer's note of each comparison takes all the time.
    case $target in
        checked_ops | bare_ops | record_ops) traces=(--no-trace-compares) ;;
        *) traces=() ;;
    esac
    cargo fuzz build -s none ${traces[@]+"${traces[@]}"} "$target" 2>&1 | tail -n 3
done

# Processor time of a process and of the children it has waited for, in hundredths of a second (proc_pid_stat(5)).
cpu_time() { awk '{ sub(/.*\) /, ""); print $12 + $13 + $14 + $15 }' "/proc/$1/stat" 2>/dev/null || echo 0; }

options_of() {
    printf '%s\n' -timeout=25 -rss_limit_mb=4096 -print_final_stats=1 "-artifact_prefix=artifacts/$1/"
    [ ! -f "dictionaries/$1.dict" ] || echo "-dict=dictionaries/$1.dict"
}

fuzz() {
    local target=$1 log=$logs/$1.log options pid used=0 now status=0
    mkdir -p "corpus/$target" "artifacts/$target" "seeds/$target"
    mapfile -t options < <(options_of "$target")
    env ${under:+LD_PRELOAD="$under"} "$built/$target" "corpus/$target" "seeds/$target" \
        "${options[@]}" ${limit[@]+"${limit[@]}"} >"$log" 2>&1 &
    pid=$!
    while kill -0 "$pid" 2>/dev/null; do
        now=$(cpu_time "$pid")
        ((now <= used)) || used=$now
        if ((cpu_seconds && used >= 100 * cpu_seconds)); then kill -INT "$pid" 2>/dev/null || true; fi
        sleep 1
    done
    wait "$pid" || status=$?
    # SIGINT ends libFuzzer with this status.
    ((status != 72)) || status=0
    printf '%-20s %12s executions %7d CPU seconds   %s\n' "$target" \
        "$(sed -n 's/^stat::number_of_executed_units: *//p; s/^#\([0-9]*\).*/\1/p' "$log" | sort -n | tail -n 1)" \
        $((used / 100)) "$( ((status)) && echo "status $status: see $log" || echo nothing found)"
    return "$status"
}

# The smallest set of inputs that reaches what all of them reach.
minimize() {
    local target=$1 small
    small=$(mktemp -d "target/merge-$target.XXXX")
    "$built/$target" -merge=1 -timeout=25 "$small" "corpus/$target" "seeds/$target" >"$logs/$target.merge.log" 2>&1
    rm -rf "corpus/$target"
    mv "$small" "corpus/$target"
    chmod 755 "corpus/$target"
}

# Of the corpus, few and short inputs that reach the same edges, not the same counts.
write_seeds() {
    local target=$1 few
    few=$(mktemp -d "target/seeds-$target.XXXX")
    "$built/$target" -set_cover_merge=1 -use_counters=0 -max_len=4096 -timeout=25 "$few" "corpus/$target" \
        >"$logs/$target.seeds.log" 2>&1
    rm -rf "seeds/$target"
    mkdir -p "seeds/$target"
    find "$few" -type f -exec cp {} "seeds/$target/" \;
    rm -rf "$few"
}

running=0
failed=0
for target in "${targets[@]}"; do
    if ((running >= jobs)); then wait -n || failed=1; running=$((running - 1)); fi
    fuzz "$target" &
    running=$((running + 1))
done
while ((running)); do wait -n || failed=1; running=$((running - 1)); done
for target in "${targets[@]}"; do
    minimize "$target"
    ! $seeds || write_seeds "$target"
done
exit "$failed"
