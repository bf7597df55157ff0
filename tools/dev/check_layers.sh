#!/bin/sh
# check_layers.sh: every #include in src names the own layer or one listed above it in src/LAYERS; layers that are host
# only, or know no OpenCL, keep away from the rest; packages stay behind their doors.
set -eu
cd "$(dirname "$0")/../.."

rules='
# except FILES HEADER REASON
except src/graph/autograd.c op/ops.h gradients of several uses are joined by the ops add, fill and stop_gradient
except src/eval/.* kernel/embedded.h reads tables that are embedded as text; no OpenCL is in that header
except src/model/.* kernel/embedded.h reads descriptions that are embedded as text; no OpenCL is in that header

# away LAYER OTHERS: layers that it keeps away from although they stand above it
away data device kernel blas tensor graph op nn model diffusion
away eval device kernel blas tensor graph op nn model diffusion data
away nn device kernel blas
away model device kernel blas

# door HEADER FILE: the one place for a package
door CL/cl.h src/device/cl.h
door clblast_c.h src/blas/gemm_clblast.c
door yaml.h src/base/config.c
door zip.h src/tensor/zip_file.c
door xxhash.h src/base/hash.c
door stb_image.h src/data/image_stb.c
'

{
    echo "$rules"
    sed 's/^/layer /' src/LAYERS
    ls -d src/*/ | sed 's|^src/\(.*\)/$|folder \1|'
    grep -rnE '^[ \t]*#[ \t]*include[ \t]*["<]' --include='*.c' --include='*.h' src include \
        | sed -E 's/^([^:]*):([0-9]*):[^"<]*(["<])([^">]*)[">].*/include \1 \2 \3 \4/'
} | awk '
    function fault(text) { print at text; faults++ }
    function is_excepted(file, header,    i) {
        for (i = 1; i <= exceptions; i++)
            if (header == except_header[i] && file ~ "^" except_file[i] "$")
                return 1
        return 0
    }
    $1 == "except" { except_file[++exceptions] = $2; except_header[exceptions] = $3 }
    $1 == "away"   { for (i = 3; i <= NF; i++) away[$2, $i] = 1 }
    $1 == "door"   { door[$2] = $3 }
    $1 == "layer"  { order[$2] = ++layers }
    $1 == "folder" && !($2 in order) { at = "src/" $2 ": "; fault("not listed in src/LAYERS") }
    $1 == "include" {
        file = $2; header = $5; at = file ":" $3 ": "; includes++
        split(file, path, "/"); split(header, part, "/")
        own = path[2]; other = part[1]
        if (header in door && door[header] != file)
            fault("<" header "> belongs into " door[header] " alone")
        else if ($4 == "<" || path[1] == "include" || other == "diffad")
            next
        else if (other == "common") {
            if (own != "base")
                fault("only base shares headers with the kernels (" header ")")
        } else if (is_excepted(file, header))
            next
        else if (!(other in order))
            fault("\"" header "\" names no layer")
        else if (order[other] > order[own])
            fault(own " may not include " header ": " other " stands below it in src/LAYERS")
        else if ((own, other) in away)
            fault(own " may not include " header ": it keeps away from " other)
    }
    END {
        if (!faults)
            printf "%d layers, %d includes: in order\n", layers, includes
        exit faults > 0 || includes < layers
    }'
