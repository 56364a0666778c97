#!/usr/bin/env bash
# Instructions and cache misses of a program under glibc's malloc and under mallocop, counted by valgrind's cachegrind:
# the same at every run in the same environment, where times differ by more than what is looked for. Slow: what takes git
# 0.2 s takes a minute.
#
#   tools/counts.sh PROGRAM ARGUMENTS...
#
# LIBRARY=FILE counts another build of libmallocop.so. The caches are 48 KiB for data, 32 KiB for instructions and
# 2 MiB behind them; D1, I1 and L2 are the misses of each. What the kernel does is not counted, and a prefetch is no use.
set -euo pipefail
(($#)) || { sed -n '2,9s/^# \{0,1\}//p' "$0" >&2; exit 2; }
command -v valgrind >/dev/null || { echo "counts.sh: valgrind is not there" >&2; exit 125; }

if [ -z "${LIBRARY:-}" ]; then
    folder=$(cd "$(dirname "$0")/.." && pwd)
    cargo build --quiet --manifest-path "$folder/Cargo.toml" --package mallocop-preload --profile library-fat --target-dir "$folder/target/library"
    LIBRARY=$folder/target/library/library-fat/libmallocop.so
fi
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

# count COLUMN OPTIONS PRELOAD PROGRAM ARGUMENTS...: the counts' sums in one line; PRELOAD may be empty.
count() {
    local column=$1 options=$2 preload=$3
    shift 3
    env ${preload:+LD_PRELOAD="$preload"} MALLOCOP_OPTIONS="$options:detect_leaks=0:quiet=1" \
        valgrind --quiet --tool=cachegrind --cache-sim=yes --D1=49152,12,64 --I1=32768,8,64 --LL=2097152,16,64 \
        --cachegrind-out-file="$scratch/$column" "$@" >/dev/null 2>"$scratch/errors" </dev/null ||
        { cat "$scratch/errors" >&2; exit 1; }
    # Ir I1mr ILmr Dr D1mr DLmr Dw D1mw DLmw
    awk '/^summary:/ { print $2, $3, $6 + $9, $4 + $7 + $10 }' "$scratch/$column"
}

printf '%-24s %12s %10s %10s %10s %7s\n' 'in millions' instructions I1 D1 L2 ratio
base=
while read -r column options preload; do
    line=$(count "$column" "$options" "$preload" "$@")
    [ -n "$base" ] || base=${line%% *}
    awk -v name="$column" -v base="$base" '{
        printf "%-24s %12.1f %10.2f %10.2f %10.2f %7.3f\n", name, $1 / 1e6, $2 / 1e6, $3 / 1e6, $4 / 1e6, $1 / base
    }' <<<"$line"
done <<END
glibc quiet=1
checks-off checks=none:malloc_context_size=0 $LIBRARY
checks malloc_context_size=0 $LIBRARY
everything malloc_context_size=256 $LIBRARY
END
