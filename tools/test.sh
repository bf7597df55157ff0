#!/bin/sh
# test.sh: everything that can be tested on this machine. One line per suite, then 'N passed, N failed'.
#
#     sh tools/test.sh                 sets up, builds in build-test/, runs every suite and short fuzz runs
#     sh tools/test.sh base op         these suites alone
#
# DIFFAD_TEST_INTEL=1 (or CI set): ops and GEMM again on Intel's CPU runtime. DIFFAD_FUZZ_SECONDS: for each fuzz target (15).
# DIFFAD_TEST_PYTORCH=1 (or CI set): the checks that run PyTorch, which is fetched (5.4 GB) where there is none; where there is
# one they run anyway. 0: never. DIFFAD_TEST_LAB=1 (or CI set): fetches the compile lab's ptxas where there is none.
set -u
cd "$(dirname "$0")/.." || exit 1
wanted="$*"
logs=build-test/logs
passed=0
failed=0

give_up() { echo "test.sh: $1" >&2; echo "$passed passed, $((failed + 1)) failed"; exit 1; }
is_wanted() { [ -z "$wanted" ] || case " $wanted " in *" $1 "*) true ;; *) false ;; esac; }

# row NAME LOG STATUS SECONDS: counts the tests in a log (Criterion's summary, else the run is one test).
row()
{
    summary=$(sed 's/\x1b\[[0-9;]*m//g' "$2" | grep -a 'Synthesis: ' | tail -n 1)
    p=$(echo "$summary" | sed -n 's/.*Passing: *\([0-9]*\).*/\1/p')
    t=$(echo "$summary" | sed -n 's/.*Tested: *\([0-9]*\).*/\1/p')
    if [ -z "$t" ]; then
        t=1
        p=$([ "$3" = 0 ] && echo 1 || echo 0)
    fi
    f=$((t - p))
    if [ "$3" != 0 ] && [ "$f" = 0 ]; then
        f=1
    fi
    passed=$((passed + p))
    failed=$((failed + f))
    printf '%-16s %5d passed %4d failed %6d s\n' "$1" "$p" "$f" "$4"
    # Behind ctest's "N: " stands what the suite said; other commands have no such front.
    [ "$f" = 0 ] || sed 's/\x1b\[[0-9;]*m//g' "$2" | awk '/^[0-9]+: / { sub(/^[0-9]+: /, ""); if (!n++) k = 0; line[k++] = $0; next }
        !n { line[k++] = $0 } END { for (i = k > 60 ? k - 60 : 0; i < k; i++) print "    " line[i] }'
}

# suite NAME COMMAND...: runs and reports.
suite()
{
    name=$1
    shift
    start=$(date +%s)
    "$@" >"$logs/$name.log" 2>&1 </dev/null
    row "$name" "$logs/$name.log" $? $(($(date +%s) - start))
}

sh tools/deps.sh --test || give_up "the packages that the tests need are missing"
mkdir -p "$logs"
cmake -S . -B build-test -G Ninja -DCMAKE_BUILD_TYPE=RelWithDebInfo -DDIFFAD_WERROR=ON >"$logs/cmake.log" 2>&1 \
    || { tail -n 40 "$logs/cmake.log"; give_up "cmake failed"; }
cmake --build build-test >"$logs/build.log" 2>&1 || { grep -a -A 8 'error\|FAILED' "$logs/build.log" | head -n 80; give_up "the build failed"; }

# What the tests write beside their own folders stays here; kernels are kept from run to run.
DIFFAD_CACHE_DIR="$PWD/build-test/cache"
POCL_CACHE_DIR="$PWD/build-test/pocl"
mkdir -p "$DIFFAD_CACHE_DIR" "$POCL_CACHE_DIR"
export DIFFAD_CACHE_DIR POCL_CACHE_DIR
[ ! -x build-test/diffad ] || build-test/diffad devices || give_up "no OpenCL device: build-test/diffad doctor tells why"

for name in $(ctest --test-dir build-test -N | sed -n 's/^ *Test *#[0-9]*: \(.*\)$/\1/p'); do
    is_wanted "$name" || continue
    suite "$name" ctest --test-dir build-test -R "^$name\$" --verbose --no-tests=error
done

# A second compiler for every kernel. That it is missing fails the run: it is there to be compared with.
has_intel=${DIFFAD_TEST_INTEL:-${CI:+1}}
case "$wanted" in *-intel*) has_intel=1 ;; esac
if [ "$has_intel" = 1 ]; then
    DIFFAD_CACHE_DIR="$PWD/build-test/cache-intel"
    for name in op blas; do
        is_wanted "$name-intel" || continue
        if sh tools/intel_cpu.sh build-test/diffad devices >"$logs/$name-intel.log" 2>&1 \
            && grep -q 'Intel(R) OpenCL' "$logs/$name-intel.log"; then
            suite "$name-intel" sh tools/intel_cpu.sh "build-test/tests/test_$name" -j2 --timeout 900
        else
            row "$name-intel" "$logs/$name-intel.log" 1 0
        fi
    done
fi

# Each tools/pytorch/check_X.py takes the command as its argument.
has_pytorch=${DIFFAD_TEST_PYTORCH:-${CI:+1}}
case "$wanted" in *pytorch*) has_pytorch=1 ;; esac
[ -n "$has_pytorch" ] || ! sh tools/pytorch.sh --have || has_pytorch=1
for script in tools/pytorch/check_*.py; do
    name=pytorch-$(basename "$script" .py | sed 's/^check_//')
    is_wanted pytorch || is_wanted "$name" || continue
    if [ "$has_pytorch" = 1 ]; then
        suite "$name" sh tools/pytorch.sh "$script" build-test/diffad
    else
        printf '%-16s     not run: no PyTorch here; DIFFAD_TEST_PYTORCH=1 fetches one (5.4 GB)\n' "$name"
    fi
done

# Kernels compiled for GPUs that are not here. ptxas is no Debian package; it is fetched where CI is set or DIFFAD_TEST_LAB=1.
if is_wanted compile-lab; then
    [ "${DIFFAD_TEST_LAB:-${CI:+1}}" != 1 ] || tools/compile_lab --fetch >"$logs/compile-lab-fetch.log" 2>&1 \
        || echo "compile-lab      nothing could be fetched: $logs/compile-lab-fetch.log"
    suite compile-lab python3 tools/compile_lab --check --build build-test sm_80 gfx90a spirv sapphirerapids
    grep ' not run: ' "$logs/compile-lab.log"
fi

if is_wanted fuzz; then
    start=$(date +%s)
    flags='-fsanitize=fuzzer-no-link,address,undefined -fno-sanitize-recover=undefined'
    if cmake -S . -B build-fuzz -G Ninja -DCMAKE_C_COMPILER=clang -DCMAKE_BUILD_TYPE=RelWithDebInfo -DDIFFAD_FUZZ=ON \
             -DCMAKE_C_FLAGS="$flags" >"$logs/fuzz.log" 2>&1 \
        && cmake --build build-fuzz --target $(cd tests/fuzz && ls fuzz_*.c | sed 's/\.c$//') >>"$logs/fuzz.log" 2>&1; then
        for source in tests/fuzz/fuzz_*.c; do
            name=$(basename "$source" .c)
            mkdir -p "build-fuzz/corpus/$name"
            seeds=
            [ "$name" != fuzz_image ] || seeds=tests/data/images
            [ "$name" != fuzz_config ] || seeds=models
            [ "$name" != fuzz_published ] || seeds=tests/model
            [ "$name" != fuzz_checkpoint ] || seeds=tests/data/checkpoints/odd
            suite "$name" "build-fuzz/tests/$name" -max_total_time="${DIFFAD_FUZZ_SECONDS:-15}" -rss_limit_mb=2048 -timeout=30 \
                -artifact_prefix="$logs/$name-" "build-fuzz/corpus/$name" $seeds
        done
    else
        row fuzz-build "$logs/fuzz.log" 1 $(($(date +%s) - start))
    fi
fi

echo "$passed passed, $failed failed"
[ "$failed" = 0 ]
