#!/usr/bin/env bash
# Checks the shell scripts of the project with shellcheck.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
command -v shellcheck >/dev/null || { echo "shellcheck was not found: install it (Debian package shellcheck)" >&2 && exit 1; }
mapfile -t scripts < <(find scripts cluster tests benchmarks experiments \( -name '*.sh' -o -name '*.sbatch' \) 2>/dev/null | sort)
for name in quickstart test .ci/run scripts/gpu_bundle scripts/gpu_check; do scripts+=("$name"); done
shellcheck --external-sources "${scripts[@]}"
echo "shellcheck: ${#scripts[@]} scripts"
