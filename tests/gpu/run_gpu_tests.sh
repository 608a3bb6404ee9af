#!/usr/bin/env bash
# Runs the tests of kernels on this machine's GPU; where that cannot be, prints why and ends with status 77.
# usage: run_gpu_tests.sh PROGRAM FILTER      PROGRAM: memcap_gpu_tests; empty where the build has no CUDA
set -uo pipefail

skip() {
    printf 'skipped: %s\n' "$1"
    exit 77
}

program=$1
[[ -n $program ]] || skip "this build has no CUDA (nvcc was not found, or MEMCAP_CUDA=OFF)"
[[ -x $program ]] || skip "$(basename "$program") was not built (target memcap_gpu)"
missing=$(LC_ALL=C ldd "$program" | sed -n 's/^[[:space:]]*\([^ ]*\) => not found$/\1/p' | sort -u | paste -sd ' ')
[[ -z $missing ]] || skip "$(basename "$program") cannot start here: these libraries of CUDA are not installed: $missing"
output=$("$program" --gtest_filter="$2" 2>&1)
status=$?
printf '%s\n' "$output"
if ((status == 0)) && ! grep -q '\[       OK \]' <<<"$output"; then
    skip "$(sed -n '/: Skipped$/{n;p;q}' <<<"$output")"
fi
exit "$status"
