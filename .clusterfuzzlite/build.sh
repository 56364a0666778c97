#!/bin/bash -eu
# Builds all fuzz targets for OSS-Fuzz and ClusterFuzzLite into $OUT, with their seeds and dictionaries.
#
# An allocator under test cannot have AddressSanitizer's: the targets are built without one, whatever is asked for.
cd "$SRC/mallocop/fuzz"
cargo fuzz build -s none -O --debug-assertions
host=$(rustc -vV | sed -n 's/^host: //p')
for target in $(cargo fuzz list); do
    cp "target/$host/release/$target" "$OUT/"
    if [ -d "seeds/$target" ]; then zip -jqr "$OUT/${target}_seed_corpus.zip" "seeds/$target"; fi
    if [ -f "dictionaries/$target.dict" ]; then cp "dictionaries/$target.dict" "$OUT/"; fi
done
