# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# What the scripts share; sourced, not run. Bash, with "set -euo pipefail".

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)

say() { printf '== %s\n' "$*" >&2; }
die() {
    printf '%s: %s\n' "${0##*/}" "$*" >&2
    exit 1
}

# packages_of SECTION...: the names in these sections of packages.txt, one a line.
packages_of() {
    local line section='' name
    while IFS= read -r line || [ -n "$line" ]; do
        if [[ $line =~ ^#\ \[([a-z]+)\] ]]; then
            section=${BASH_REMATCH[1]}
        elif [[ $line =~ ^[a-z0-9] ]]; then
            for name in "$@"; do
                [ "$name" != "$section" ] || printf '%s\n' "$line"
            done
        fi
    done <"$root/deploy/packages.txt"
}

# packages_missing SECTION...: those that are not installed, one a line.
packages_missing() {
    local package
    packages_of "$@" | while read -r package; do
        [ "$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null)" = installed ] ||
            printf '%s\n' "$package"
    done
}

as_root() {
    if [ "$(id -u)" -eq 0 ]; then
        "$@"
    elif command -v sudo >/dev/null; then
        sudo "$@"
    else
        die "need root or sudo to install packages; or install them and give --no-install"
    fi
}

# install_packages INSTALL SECTION...: lists what is missing, and installs it if INSTALL is true.
# The package lists are fetched only then: a machine that has everything needs no network.
install_packages() {
    local install=$1 missing
    shift
    if ! command -v dpkg-query >/dev/null; then
        say "not a Debian system: install what deploy/packages.txt names by other means"
        return 0
    fi
    mapfile -t missing < <(packages_missing "$@")
    if [ ${#missing[@]} -eq 0 ]; then
        return 0
    fi
    say "missing packages: ${missing[*]}"
    if ! $install; then
        say "not installed, as --no-install asks"
        return 0
    fi
    local apt=(env DEBIAN_FRONTEND=noninteractive apt-get -q -y -o DPkg::Lock::Timeout=300)
    as_root "${apt[@]}" update >&2 || say "apt-get update failed; trying with the lists that are here"
    as_root "${apt[@]}" install --no-install-recommends "${missing[@]}" >&2 ||
        die "could not install: ${missing[*]}"
}

# build_preset PRESET [TARGET...]: configures (again) and builds, in build/PRESET.
build_preset() {
    local preset=$1 targets=() log
    shift
    [ $# -eq 0 ] || targets=(--target "$@")
    mkdir -p "$root/build"
    log=$root/build/$preset.configure.log
    (
        cd "$root" || exit 1
        cmake --preset "$preset" >"$log" 2>&1 || {
            cat "$log" >&2
            exit 1
        }
        cmake --build --preset "$preset" --parallel "$(nproc)" "${targets[@]}"
    )
}
