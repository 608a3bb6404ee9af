# Steps that ./quickstart and ./test share: packages, Python environments, builds. Sourced by them, never run.
# Sets $root, the folder of the checkout; expects bash with `set -euo pipefail`.
# shellcheck shell=bash disable=SC2034

root=$(cd "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/.." && pwd)
log_folder=$root/build/log

# Package names of Debian 12. After a colon: a command that stands for the package where dpkg does not know it.
core_packages=(g++:g++ cmake:cmake ninja-build:ninja ccache:ccache libfmt-dev libspdlog-dev libyaml-cpp-dev
    nlohmann-json3-dev libssl-dev libxxhash-dev zlib1g-dev libgtest-dev libgmock-dev python3:python3)
full_packages=(libopenmpi-dev openmpi-bin:mpirun libhdf5-dev libboost-program-options-dev libtcmalloc-minimal4
    python3-venv)
check_packages=(clang-format-14:clang-format-14 clang-tidy-14:clang-tidy-14 shellcheck:shellcheck clang-14:clang++-14
    libclang-rt-14-dev)

say() { printf '%s\n' "$*"; }

# fail WHAT [STATUS]: one line on stderr, then the end.
fail() {
    printf '%s: %s\n' "$(basename "$0")" "$1" >&2
    exit "${2:-1}"
}

# step NAME LOG COMMAND...: runs the command with its output in build/log/LOG and tells the time it took.
# Where it fails, shows the end of the log and where the rest is, and returns 1. Since bash ignores `set -e` below a
# condition, commands given to it chain their parts by &&.
step() {
    local name=$1 log=$log_folder/$2 started=$SECONDS
    shift 2
    mkdir -p "$log_folder"
    say "== $name ..."
    if "$@" >"$log" 2>&1; then
        say "   $name: done in $((SECONDS - started)) s"
    else
        tail -n 40 "$log" >&2
        printf '%s: step "%s" failed; the whole log is %s\n' "$(basename "$0")" "$name" "$log" >&2
        return 1
    fi
}

# missing_packages ENTRY...: those of the entries that are not installed, one a line.
missing_packages() {
    local entry package
    for entry in "$@"; do
        package=${entry%%:*}
        if dpkg-query -W -f='${Status}' "$package" 2>/dev/null | grep -q 'ok installed'; then continue; fi
        if [[ $entry == *:* ]] && command -v "${entry#*:}" >/dev/null; then continue; fi
        # Any interpreter that can make an environment does; Debian's needs this package for that.
        if [[ $package == python3-venv ]] && find_python >/dev/null; then continue; fi
        say "$package"
    done
}

install_packages() {
    # A source that cannot be reached need not matter: the packages may well come from another one.
    apt-get -o DPkg::Lock::Timeout=600 update || say "apt-get update failed; trying with the lists at hand"
    DEBIAN_FRONTEND=noninteractive apt-get -o DPkg::Lock::Timeout=600 install --yes --no-install-recommends "$@"
}

# ensure_packages ENTRY...: installs what is missing as root; otherwise says in one line what to install and ends.
ensure_packages() {
    local missing
    if ! command -v dpkg-query >/dev/null; then
        say "== Debian packages: this is not a Debian system, so the packages are not checked"
        return
    fi
    mapfile -t missing < <(missing_packages "$@")
    if ((${#missing[@]} == 0)); then
        say "== Debian packages: all there"
    elif ((EUID == 0)); then
        step "Debian packages: installing ${missing[*]}" packages.log install_packages "${missing[@]}" || exit 1
    else
        fail "packages are missing; an administrator can install them by: apt-get update && apt-get install --no-install-recommends ${missing[*]}"
    fi
}

# find_python: prints an interpreter of at least 3.11 that can make environments.
find_python() {
    local python
    for python in ${MEMCAP_PYTHON:+"$MEMCAP_PYTHON"} /usr/bin/python3 python3 python3.13 python3.12 python3.11; do
        if "$python" -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
            command -v "$python"
            return
        fi
    done
    return 1
}

# wants_cuda: whether this machine is one for which the build turns CUDA on (cmake/MemcapCuda.cmake decides alike).
wants_cuda() {
    case ${MEMCAP_CUDA:-AUTO} in
        OFF) return 1 ;;
        ON) return 0 ;;
        *) { command -v nvcc || [[ -x /usr/local/cuda/bin/nvcc ]]; } >/dev/null && nvidia-smi -L 2>/dev/null | grep -q GPU ;;
    esac
}

environment_stamp() {
    local python=$1 requirements=$2
    shift 2
    { "$python" --version && say "$root" "$@" && cat "$requirements"; } | sha256sum | cut -d ' ' -f 1
}

# make_environment FOLDER PYTHON REQUIREMENTS [pip option...]: creates or completes the environment, then stamps it.
make_environment() {
    local folder=$1 python=$2 requirements=$3 stamp
    shift 3
    rm -f "$folder/.stamp"
    "$folder/bin/python" -m pip --version || { rm -rf "$folder" && "$python" -m venv "$folder"; } &&
        "$folder/bin/python" -m pip install --disable-pip-version-check --no-input "$@" --requirement "$requirements" &&
        stamp=$(environment_stamp "$python" "$requirements" "$@") &&
        say "$stamp" >"$folder/.stamp"
}

environment_is_current() {
    local folder=$1
    shift
    [[ -x $folder/bin/python && -f $folder/.stamp && $(<"$folder/.stamp") == "$(environment_stamp "$@")" ]]
}

# ensure_environments: .venv/torch for linking and .venv/python for the helper and the analysis, side by side.
ensure_environments() {
    local python torch_options=(--no-deps) jobs=() failed=0 job
    python=$(find_python) || fail "no Python of at least 3.11 with venv was found; name one: MEMCAP_PYTHON=/path/to/python3"
    # A program linked to libtorch_cuda needs the whole set of CUDA wheels; for a CPU these are 4 GB of ballast.
    if wants_cuda; then torch_options=(); fi
    mkdir -p "$root/.venv"
    exec {lock}>"$root/.venv/lock"
    flock --nonblock "$lock" || { say "== Python environments: waiting for another set-up to end" && flock "$lock"; }
    local torch_arguments=("$root/.venv/torch" "$python" "$root/scripts/torch-requirements.txt" "${torch_options[@]}")
    local python_arguments=("$root/.venv/python" "$python" "$root/analysis/requirements.txt")
    if environment_is_current "${torch_arguments[@]}"; then
        say "== .venv/torch: up to date"
    else
        step ".venv/torch: installing libtorch" venv-torch.log make_environment "${torch_arguments[@]}" {lock}>&- &
        jobs+=($!)
    fi
    if environment_is_current "${python_arguments[@]}"; then
        say "== .venv/python: up to date"
    else
        step ".venv/python: installing the tokenizer and analysis packages" venv-python.log \
            make_environment "${python_arguments[@]}" {lock}>&- &
        jobs+=($!)
    fi
    for job in "${jobs[@]}"; do wait "$job" || failed=1; done
    exec {lock}>&-
    ((failed == 0)) || exit 1
}

# parallel_jobs: one compiler a core, but no more than memory holds (a source with ATen takes 1.5 GB).
parallel_jobs() {
    local cores memory_gb
    cores=$(nproc)
    memory_gb=$(awk '/MemAvailable/ { print int($2 / 1048576) }' /proc/meminfo)
    local fit=$((memory_gb * 2 / 3))
    ((fit >= 1)) || fit=1
    say $((cores < fit ? cores : fit))
}

# configure PRESET [cmake option...]: afresh where the folder was configured for another checkout.
configure() {
    local preset=$1 cache=$root/build/$1/CMakeCache.txt fresh=()
    shift
    if [[ -f $cache ]] && ! grep -qxF "CMAKE_HOME_DIRECTORY:INTERNAL=$root" "$cache"; then fresh=(--fresh); fi
    cmake "${fresh[@]}" --preset "$preset" "-DMEMCAP_CUDA=${MEMCAP_CUDA:-AUTO}" "$@"
}

configure_and_build() {
    local preset=$1
    shift
    configure "$preset" && cmake --build --preset "$preset" --parallel "$(parallel_jobs)" "$@"
}

# build PRESET [--target NAME]: configures and builds; says so when there was nothing to do.
build() {
    local preset=$1
    # Relative paths in ccache's keys let a second clone of the project use what the first one compiled; the price is
    # that debug information may name the folder of the first.
    export CCACHE_BASEDIR=$root CCACHE_NOHASHDIR=1
    (cd "$root" && step "Build $preset" "build-$preset.log" configure_and_build "$@") || return 1
    grep -e '^-- CUDA: ' -e '^-- .*\(left out\|not checked\)' "$log_folder/build-$preset.log" | sed 's/^-- /   /' || true
    if grep -q 'no work to do' "$log_folder/build-$preset.log"; then say "   nothing to build: up to date"; fi
}
