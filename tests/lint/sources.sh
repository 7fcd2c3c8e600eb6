# SPDX-License-Identifier: Apache-2.0
# sources GLOB...: our source files of these names, one a line. Sourced; the working directory is
# the root. Looks at the folders, not at git: a file counts before it is tracked, too.
sources() {
    local tests=() glob
    for glob in "$@"; do
        tests+=(-o -name "$glob")
    done
    find proto merkle storage node client tests deploy .ci -type f \( "${tests[@]:1}" \) | LC_ALL=C sort
}
