#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# sim_speed.sh [SEEDS [ESTREAT-SIM]]: how many seeds (of SEEDS, 1000) the simulator does in an hour on
# one core; alone on the machine. Exits 1 below 50,000, or if a seed fails.
set -euo pipefail
seeds=${1:-1000}
sim=${2:-$(dirname "$0")/../../build/dev/tests/estreat-sim}
begin=$(date +%s%N)
"$sim" --seeds "30000001..$((30000001 + seeds))" 2>/dev/null | tail -n 1
hourly=$((seeds * 3600 * 1000000000 / ($(date +%s%N) - begin)))
echo "$hourly seeds an hour (goal: 50000)"
[ "$hourly" -ge 50000 ]
