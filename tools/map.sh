#!/usr/bin/env bash
# The full map: each source file with the first line of its head.
set -euo pipefail
cd "$(dirname "$0")/.."
git ls-files 'src/*.rs' 'tools/*.rs' 'fuzz/*.rs' 'tests/*.rs' | while read -r file; do
    printf '%-48s %s\n' "$file" "$(sed -n '1s,^//! ,,p' "$file")"
done
