#!/usr/bin/env bash
# Line coverage of folders of the root package's sources when the saved corpora are replayed.
#
#   fuzz/coverage.sh [TARGET...]          all targets that have a corpus, if none is named
#   SOURCES=src/heap fuzz/coverage.sh     other folders than src/heap, src/arena and src/debug
#
# Needs llvm-profdata and llvm-cov of rustc's LLVM version (`rustc -vV`), which the toolchain does not
# bring: for rustc 1.95 Debian's package llvm-22.
set -euo pipefail
cd "$(dirname "$0")"
version=$(rustc -vV | sed -n 's/^LLVM version: \([0-9]*\).*/\1/p')
out=target/coverage
mkdir -p "$out"
# Build scripts are instrumented, too.
LLVM_PROFILE_FILE="$PWD/$out/build.profraw" RUSTFLAGS="-C instrument-coverage" cargo build --quiet --release --no-default-features \
    --example replay --target-dir "$out"
replay=$out/release/examples/replay

targets=("$@")
if ((${#targets[@]} == 0)); then
    for corpus in corpus/*/; do targets+=("$(basename "$corpus")"); done
fi
profiles=()
report() {
    local profile=$1 name=$2
    echo "== $name"
    for folder in ${SOURCES:-src/heap src/arena src/debug}; do
        echo "-- $folder"
        # Columns: file, then three each (all, missed, percent) for regions, functions and lines.
        "llvm-cov-$version" report "$replay" -instr-profile "$profile" "../$folder" |
            awk '/\.rs |^TOTAL/ { printf "%-18s %4d lines, %3d missed, %7s\n", $1, $8, $9, $10 }'
    done
}
for target in "${targets[@]}"; do
    LLVM_PROFILE_FILE="$out/$target.profraw" "$replay" "$target" "corpus/$target"
    "llvm-profdata-$version" merge -sparse "$out/$target.profraw" -o "$out/$target.profdata"
    profiles+=("$out/$target.profraw")
    report "$out/$target.profdata" "$target"
done
"llvm-profdata-$version" merge -sparse "${profiles[@]}" -o "$out/all.profdata"
report "$out/all.profdata" "all of these"
