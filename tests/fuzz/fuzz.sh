#!/usr/bin/env bash
# Runs one fuzz target within limits of memory, stack and time.
set -euo pipefail

usage() {
    cat <<'END'
usage: fuzz.sh TARGET SECONDS [CORPUS]

TARGET    safetensors_header, model_config or shard_index, built by: cmake --preset fuzz && cmake --build --preset fuzz
SECONDS   how long to look for faults
CORPUS    folder that keeps what was found worth keeping, and from which the search goes on; without it the search
          starts from the seeds with a fixed seed of its random numbers and forgets its corpus

An input that crashes, leaks, hangs, or takes more memory than allowed is written to build/fuzz/faults and ends the
search with a status other than 0. To see it again: build/fuzz/tests/fuzz/memcap_fuzz_TARGET FILE

Environment variables: MEMCAP_FUZZ_PROGRAMS is the folder of the programs, MEMCAP_FUZZ_FAULTS that of the faults.
END
}

if [[ ${1:-} == -h || ${1:-} == --help ]]; then usage && exit 0; fi
if (($# < 2 || $# > 3)); then usage >&2 && exit 2; fi
target=$1 seconds=$2 corpus=${3:-}
folder=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
build=$folder/../../build/fuzz
program=${MEMCAP_FUZZ_PROGRAMS:-$build/tests/fuzz}/memcap_fuzz_$target
faults=${MEMCAP_FUZZ_FAULTS:-$build/faults}
if [[ ! -x $program ]]; then
    echo "fuzz.sh: $program is not there: cmake --preset fuzz && cmake --build --preset fuzz" >&2
    exit 2
fi

# Targets write their inputs into files: in memory, and gone at the end, however the target ends.
memory=/dev/shm
[[ -d $memory && -w $memory ]] || memory=${TMPDIR:-/tmp}
TMPDIR=$(mktemp -d "$memory/memcap-fuzz-XXXXXX")
export TMPDIR
trap 'rm -rf "$TMPDIR"' EXIT

random=0
if [[ -z $corpus ]]; then corpus=$TMPDIR/corpus random=1; fi
mkdir -p "$corpus" "$faults"
# With a small stack, recursion over an input of a few kilobytes is a fault that shows.
ulimit -s 512
export ASAN_OPTIONS=allocator_may_return_null=0:detect_stack_use_after_return=0 UBSAN_OPTIONS=print_stacktrace=1:halt_on_error=1
# An input has at most 4 kB: whatever needs 64 MB for it does not keep measure.
"$program" -seed="$random" -max_total_time="$seconds" -max_len=4096 -timeout=5 -malloc_limit_mb=64 -rss_limit_mb=1024 \
    -print_final_stats=1 -verbosity="${MEMCAP_FUZZ_VERBOSITY:-1}" -dict="$folder/model_files.dict" \
    -artifact_prefix="$faults/$target-" "$corpus" "$folder/seeds/$target"
