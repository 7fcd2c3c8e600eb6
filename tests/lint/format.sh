#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Usage: format.sh CLANG_FORMAT. Every C file is as .clang-format says.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/sources.sh"
sources '*.c' '*.h' | xargs -d '\n' "$1" --dry-run -Werror
