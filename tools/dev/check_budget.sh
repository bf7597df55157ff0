#!/bin/sh
# check_budget.sh: lists what is beyond the budgets: files of 400 lines, headers of 150, kernel files of 200, functions of
# 60, lines of 120 columns. Lines that are too long fail; the rest asks for the second idea in a file.
set -eu
cd "$(dirname "$0")/../.."

long_files()      # LIMIT FILE...
{
    limit=$1
    shift
    for f in "$@"; do
        n=$(wc -l <"$f")
        [ "$n" -le "$limit" ] || echo "$f: $n lines (budget $limit)"
    done
}

# Functions begin with a brace in the first column and end with one there.
long_functions()
{
    awk 'FNR == 1 { from = 0 }
         /^\{/ { from = FNR; name = before }
         /^\}/ { if (from && FNR - from > 60) printf "%s:%d: %d lines (budget 60): %s\n", FILENAME, from, FNR - from, name; from = 0 }
         { before = $0 }' "$@"
}

c=$(git ls-files 'src/*.c' 'src/*.h' 'tools/*.c' 'tools/*.h')
long_files 400 $c
long_files 150 $(git ls-files 'include/*.h')
long_files 200 $(git ls-files 'cl/*.cl')
long_functions $(echo "$c" | grep '\.c$')
wide=$(awk 'length($0) > 120 { printf "%s:%d: %d columns (at most 120)\n", FILENAME, FNR, length($0) }' \
           $c $(git ls-files 'cl/*.cl' 'include/*.h' 'tests/*.c'))
[ -z "$wide" ] || { echo "$wide"; exit 1; }
