#!/bin/sh
# pytorch.sh: runs a Python script with PyTorch: the interpreter that DIFFAD_PYTHON names, else python3 where that has torch and
# numpy, else one of its own, for which the packages are fetched once into a cache folder (5.4 GB, three minutes; nothing goes into
# the system).
#
#     sh tools/pytorch.sh tools/pytorch/check_checkpoints.py build/diffad
#     sh tools/pytorch.sh --have         exit code 0 when nothing would be fetched
#
# DIFFAD_TOOLS_CACHE moves the folder.
set -eu

[ $# -gt 0 ] || { echo "usage: pytorch.sh SCRIPT [ARGUMENT...]" >&2; exit 2; }
cache="${DIFFAD_TOOLS_CACHE:-${XDG_CACHE_HOME:-${HOME:-/tmp}/.cache}/diffad-tools}/pytorch"
python="${DIFFAD_PYTHON:-python3}"

has_torch() { "$1" -c 'import numpy, torch' >/dev/null 2>&1; }

if ! has_torch "$python"; then
    [ -z "${DIFFAD_PYTHON:-}" ] || { echo "pytorch.sh: DIFFAD_PYTHON=$DIFFAD_PYTHON has no torch and numpy" >&2; exit 1; }
    python="$cache/venv/bin/python"
    if [ ! -f "$cache/ready" ]; then
        [ "$1" != --have ] || exit 1
        rm -rf "$cache"
        mkdir -p "$cache"
        echo "pytorch.sh: fetching PyTorch into $cache" >&2
        system=/usr/bin/python3
        [ -x "$system" ] || system=python3
        "$system" -m venv "$cache/venv"
        "$cache/venv/bin/pip" install -q --disable-pip-version-check --no-cache-dir torch numpy >&2
        has_torch "$python" || { echo "pytorch.sh: the packages that were fetched do not work: $python -c 'import torch' tells why" >&2; exit 1; }
        touch "$cache/ready"
    fi
fi
[ "$1" != --have ] || exit 0
exec "$python" "$@"
