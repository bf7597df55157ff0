#!/bin/sh
# deps.sh: installs what is missing from Debian's packages to build and run diffad; quiet when nothing is.
#
#     sh tools/deps.sh            to build and run
#     sh tools/deps.sh --test     and to test: a second compiler for the fuzzers, Python for a second OpenCL implementation,
#                                 compilers for GPUs that are not here
set -eu

packages="gcc libc6-dev cmake ninja-build pkg-config ocl-icd-opencl-dev opencl-headers pocl-opencl-icd libclblast-dev
libstb-dev libspng-dev libjpeg62-turbo-dev zlib1g-dev libzip-dev libsqlite3-dev libyaml-dev libjansson-dev libxxhash-dev librandom123-dev libcriterion-dev"
case "${1:-}" in
    '') ;;
    --test) packages="$packages clang libclang-rt-dev python3-venv locales clang-15 libclc-15 llvm-spirv-15 spirv-tools" ;;
    *) echo "deps.sh: unknown option $1; the only one is --test" >&2; exit 2 ;;
esac

if ! command -v dpkg-query >/dev/null 2>&1 || ! command -v apt-get >/dev/null 2>&1; then
    echo "deps.sh: no Debian packages on this system; these, by their names there, are needed:" $packages >&2
    exit 0
fi

missing=
for p in $packages; do
    [ "$(dpkg-query -W -f '${db:Status-Status}' "$p" 2>/dev/null || true)" = installed ] || missing="$missing $p"
done
[ -n "$missing" ] || exit 0

as_root=
if [ "$(id -u)" != 0 ]; then
    command -v sudo >/dev/null 2>&1 || { echo "deps.sh: as root, run: apt-get install$missing" >&2; exit 1; }
    as_root=sudo
fi
echo "deps.sh: installing$missing" >&2
log=$(mktemp)
trap 'rm -f "$log"' EXIT
# One transaction: installing in parts has been seen to remove drivers that were there.
if ! { $as_root apt-get update -qq && $as_root env DEBIAN_FRONTEND=noninteractive \
       apt-get install -y -qq --no-install-recommends $missing; } >"$log" 2>&1; then
    cat "$log" >&2
    echo "deps.sh: the packages could not be installed (log above)" >&2
    exit 1
fi
