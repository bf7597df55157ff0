#!/bin/sh
# intel_cpu.sh: runs a command with Intel's OpenCL runtime for CPUs as the only implementation: a second compiler for
# every kernel. It comes as Python packages into a cache folder (0.9 GB); nothing is installed into the system.
#
#     sh tools/intel_cpu.sh build/diffad selftest
#
# DIFFAD_TOOLS_CACHE moves the folder.
set -eu

[ $# -gt 0 ] || { echo "usage: intel_cpu.sh COMMAND [ARGUMENT...]" >&2; exit 2; }
cache="${DIFFAD_TOOLS_CACHE:-${XDG_CACHE_HOME:-${HOME:-/tmp}/.cache}/diffad-tools}/intel-cpu"
venv="$cache/venv"
lib="$venv/lib"

if [ ! -f "$cache/ready" ] || [ ! -e "$lib/libintelocl.so" ]; then
    python=/usr/bin/python3
    [ -x "$python" ] || python=python3
    rm -rf "$cache"
    mkdir -p "$cache/vendors"
    echo "intel_cpu.sh: fetching Intel's runtime into $cache" >&2
    "$python" -m venv "$venv"
    "$venv/bin/pip" install -q --disable-pip-version-check intel-opencl-rt intel-cmplr-lib-rt >&2
    [ -e "$lib/libintelocl.so" ] || { echo "intel_cpu.sh: the packages hold no lib/libintelocl.so" >&2; exit 1; }
    # The package's own .icd file names a folder of the machine that it was made on.
    echo "$lib/libintelocl.so" >"$cache/vendors/intel.icd"
    touch "$cache/ready"
fi

OCL_ICD_VENDORS="$cache/vendors/"
# The system's loader stays in front of the one in the packages.
system=$(ldconfig -p 2>/dev/null | sed -n 's|.*=> \(.*\)/libOpenCL\.so\.1$|\1|p' | head -n 1)
LD_LIBRARY_PATH="${system:+$system:}$lib${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}"
export OCL_ICD_VENDORS LD_LIBRARY_PATH
exec "$@"
