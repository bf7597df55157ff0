#!/bin/sh
# demo.sh: from a fresh machine to a report: sets up, builds in build/, trains on sample photographs, evaluates.
#
#     sh tools/demo.sh                 report in demo/report.html; options go to `diffad demo`
set -eu
cd "$(dirname "$0")/.."
sh tools/deps.sh
log=$(mktemp)
trap 'rm -f "$log"' EXIT
if ! { cmake -S . -B build -G Ninja -DDIFFAD_TESTS=OFF && cmake --build build; } >"$log" 2>&1; then
    tail -n 60 "$log" >&2
    echo "demo.sh: the build failed (log above)" >&2
    exit 1
fi
exec build/diffad demo "$@"
