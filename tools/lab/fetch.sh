#!/bin/sh
# fetch.sh: brings the compile lab's two assemblers that are not installed as Debian packages into a folder, without installing
# them: ptxas of CUDA 12 (the last that knows sm_70) from a Python package, and Intel's ocloc from Debian's packages (installed,
# they would add an OpenCL driver to machines without such a GPU).
#
#     sh tools/lab/fetch.sh FOLDER
set -eu

cache=${1:?usage: fetch.sh FOLDER}
mkdir -p "$cache"

if [ ! -x "$cache/ptxas/ptxas" ]; then
    echo "fetch.sh: fetching ptxas into $cache/ptxas" >&2
    work=$(mktemp -d)
    python3 -m venv "$work/venv"
    "$work/venv/bin/pip" install -q --disable-pip-version-check --no-deps 'nvidia-cuda-nvcc-cu12==12.9.86' >&2
    mkdir -p "$cache/ptxas"
    cp "$(find "$work/venv" -name ptxas -type f)" "$cache/ptxas/ptxas"
    rm -rf "$work"
fi

if [ ! -x "$cache/ocloc/usr/bin/ocloc" ]; then
    command -v apt-get >/dev/null 2>&1 || { echo "fetch.sh: ocloc comes from Debian's packages; this system has none" >&2; exit 1; }
    echo "fetch.sh: fetching ocloc into $cache/ocloc" >&2
    work=$(mktemp -d)
    (cd "$work" && apt-get download -qq intel-opencl-icd libigc1 libigdfcl1 libigdgmm12 libopencl-clang14 libllvmspirvlib14 >&2)
    mkdir -p "$cache/ocloc"
    for package in "$work"/*.deb; do
        dpkg -x "$package" "$cache/ocloc"
    done
    rm -rf "$work"
fi
