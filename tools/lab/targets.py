"""targets.py: the compile lab's targets: how a program is compiled for each, and what the compilers say of its kernels.

compile_program(target, tools, source, constants, folder) -> { kernel: Figures }; raises CompileError with the compiler's words.
A target without its tools is told by missing(target, tools)."""
import collections
import inspect
import math
import os
import re
import shutil
import subprocess
import tempfile

# registers: of one work-item (Intel: of one thread of the unit, with its SIMD width in `simd`). spill, stack: bytes of a
# work-item in memory because registers ran out, and because an array is indexed by what the compiler does not know.
Figures = collections.namedtuple("Figures", "registers spill stack local simd matrix")

# units as a device's driver reports them; local_limit: bytes that one work-group may have.
Target = collections.namedtuple("Target", "name family capability_set local_limit matrix_instruction")

TARGETS = [
    Target("sm_70", "nvidia", "v100", 48 << 10, "mma.sync"),
    Target("sm_80", "nvidia", "a100", 48 << 10, "mma.sync"),
    Target("sm_90", "nvidia", "h100", 48 << 10, "mma.sync"),
    Target("gfx906", "amd", "mi50", 64 << 10, None),
    Target("gfx90a", "amd", "mi210", 64 << 10, "v_mfma"),
    Target("gfx1030", "amd", "rx6800xt", 64 << 10, None),
    Target("gfx1100", "amd", "rx7900xtx", 64 << 10, "v_wmma"),
    Target("skl", "intel", "hd530", 64 << 10, None),
    Target("tgllp", "intel", "iris_xe", 64 << 10, None),
    Target("dg2", "intel", "a770", 64 << 10, None),
    Target("pvc", "intel", "max1550", 128 << 10, None),
    Target("spirv", "spirv", "portable", 16 << 10, None),
    Target("spirv-dg2", "spirv", "a770_matrix", 64 << 10, "matrix_mad"),
    Target("spirv-pvc", "spirv", "max1550_matrix", 128 << 10, "matrix_mad"),
    Target("spirv-cpu", "spirv", "cpu", 256 << 10, None),
    Target("sapphirerapids", "x86", "xeon_amx", 512 << 10, "tdpbf16ps"),
]

# clang 15 gives out 128 of the 256 registers of a gfx1100 work-item: what spills there for want of more is no kernel's fault.
GIVEN_OUT = {"gfx1100": 128}


class CompileError(Exception):
    pass


def run(command, env=None, folder=None):
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace", env=env, cwd=folder)
    if done.returncode != 0:
        raise CompileError("%s: exit code %d\n%s" % (os.path.basename(command[0]), done.returncode, done.stdout[-4000:]))
    return done.stdout


# ---- tools ----

class Tools:
    """What is there: paths, or None. `cache` holds what tools/lab/fetch.sh fetched."""

    def __init__(self, cache):
        self.clang = shutil.which("clang-15")
        self.clc = next((d for d in ("/usr/lib/clc", "/usr/share/clc") if os.path.isdir(d)), None)
        self.ptxas = first_file(os.path.join(cache, "ptxas", "ptxas")) or shutil.which("ptxas")
        self.llvm_spirv = shutil.which("llvm-spirv-15")
        self.spirv_val = shutil.which("spirv-val")
        self.pocl = next((d for d in ("/usr/share/pocl", "/usr/local/share/pocl") if os.path.isdir(d)), None)
        intel = os.path.join(cache, "ocloc", "usr")
        self.ocloc = first_file(os.path.join(intel, "bin", "ocloc")) or shutil.which("ocloc")
        self.intel_env = dict(os.environ, LD_LIBRARY_PATH=os.path.join(intel, "lib", "x86_64-linux-gnu")) \
            if self.ocloc and self.ocloc.startswith(intel) else None
        self.versions = {}

    def has_clc(self, name):
        return self.clc and os.path.exists(os.path.join(self.clc, name))

    def version(self, tool):
        """Name and version of a tool, for the table and for the cache of results."""
        if tool not in self.versions:
            found = re.search(r"(\d+\.\d+[\w.]*)", self.ocloc_version() if tool == self.ocloc else run([tool, "--version"]))
            self.versions[tool] = os.path.basename(tool) + " " + (found.group(1) if found else "?")
        return self.versions[tool]

    def ocloc_version(self):
        """It writes answers into the folder it runs in."""
        with tempfile.TemporaryDirectory() as folder:
            run([self.ocloc, "query", "OCL_DRIVER_VERSION"], self.intel_env, folder)
            with open(os.path.join(folder, "OCL_DRIVER_VERSION")) as f:
                return f.read()


def first_file(*paths):
    return next((p for p in paths if os.path.exists(p)), None)


def missing(target, tools):
    """The name of what is not installed, or None."""
    needs = {
        "nvidia": [(tools.clang, "clang-15"), (tools.has_clc("nvptx64--nvidiacl.bc"), "libclc-15"), (tools.ptxas, "ptxas")],
        "amd": [(tools.clang, "clang-15"), (tools.has_clc("amdgcn--amdhsa.bc"), "libclc-15")],
        "intel": [(tools.ocloc, "ocloc")],
        "spirv": [(tools.clang, "clang-15"), (tools.llvm_spirv, "llvm-spirv-15"), (tools.spirv_val, "spirv-val")],
        "x86": [(tools.clang, "clang-15"), (tools.pocl, "libpocl2-common")],
    }[target.family]
    lack = next((name for found, name in needs if not found), None)
    if not lack and target.name == "sm_70" and int(re.search(r" (\d+)", tools.version(tools.ptxas)).group(1)) >= 13:
        lack = "ptxas before CUDA 13"
    return lack


def versions(target, tools):
    used = {"nvidia": [tools.clang, tools.ptxas], "amd": [tools.clang], "intel": [tools.ocloc],
            "spirv": [tools.clang, tools.llvm_spirv, tools.spirv_val], "x86": [tools.clang]}[target.family]
    return ", ".join(tools.version(t) for t in used)


# ---- compilers ----

CLANG = ["-x", "cl", "-cl-std=CL1.2", "-w", "-Wno-linker-warnings", "-Xclang", "-finclude-default-header", "-Xclang", "-fdeclare-opencl-builtins"]


def link(tools, name):
    return ["-Xclang", "-mlink-builtin-bitcode", "-Xclang", os.path.join(tools.clc, name)]


def nvidia(target, tools, source, constants, folder):
    """clang 15 knows architectures up to sm_86; ptxas assembles that text for later ones."""
    ptx, cubin = os.path.join(folder, "k.ptx"), os.path.join(folder, "k.cubin")
    front = "sm_80" if target.name == "sm_90" else target.name
    run([tools.clang, "-target", "nvptx64-nvidia-cuda", "-march=" + front, "-Xclang", "-target-feature", "-Xclang", "+ptx75", "-O3",
         "-fgnu-keywords"] + CLANG + link(tools, "nvptx64--nvidiacl.bc") + constants + ["-S", "-o", ptx, source])
    said = run([tools.ptxas, "-v", "-arch=" + target.name, ptx, "-o", cubin])
    with open(ptx) as f:
        bodies = dict(re.findall(r"\.entry (\w+)\((.*?)(?=\.entry |\Z)", f.read(), re.S))
    out = {}
    for part in said.split("Compiling entry function '")[1:]:
        name = part.split("'")[0]
        number = lambda pattern: int((re.search(pattern, part) or [0, "0"])[1])
        spill = max(number(r"(\d+) bytes spill stores"), number(r"(\d+) bytes spill loads"))
        stack = max(number(r"(\d+) bytes stack frame") - spill, 0)
        out[name] = Figures(number(r"Used (\d+) registers"), spill, stack, number(r"(\d+) bytes smem"), 0,
                            len(re.findall(r"\bmma\.sync", bodies.get(name, ""))))
    return out


def amd(target, tools, source, constants, folder):
    """The metadata at the end of the assembler text; a spill there is counted in registers. A program has one kernel."""
    text = os.path.join(folder, "k.s")
    run([tools.clang, "-target", "amdgcn--amdhsa", "-mcpu=" + target.name, "-nogpulib", "-O3"] + CLANG +
        link(tools, "amdgcn--amdhsa.bc") + constants + ["-S", "-o", text, source])
    with open(text) as f:
        body = f.read()
    out = {}
    for part in body.split(".amdgpu_metadata")[1].split("\n  - ")[1:]:
        name = re.search(r"^    \.name: +(\w+)", part, re.M)
        if not name:
            continue
        number = lambda key: int(re.search(r"\." + key + r": +(\d+)", part)[1]) if re.search(r"\." + key + ":", part) else 0
        stack, spilled = number("private_segment_fixed_size"), 4 * number("vgpr_spill_count")
        out[name[1]] = Figures(number("vgpr_count"), spilled, max(stack - spilled, 0), number("group_segment_fixed_size"), 0,
                                len(re.findall(r"\b(?:v_mfma|v_wmma)_", body)))
    return out


def intel(target, tools, source, constants, folder):
    """What the section .ze_info of the binary says; a thread has 128 registers whatever the kernel."""
    said = run([tools.ocloc, "compile", "-file", source, "-device", target.name, "-options", "-cl-std=CL1.2 " + " ".join(constants),
                "-out_dir", folder, "-output", "k.bin", "-output_no_suffix", "--format", "zebin"], tools.intel_env)
    with open(os.path.join(folder, "k.bin"), "rb") as f:
        info = f.read().decode("latin-1")
    out = {}
    for part in re.split(r"\n  - name: +", info[info.index("kernels:"):])[1:]:
        name = re.match(r"'?(\w+)", part)[1]
        number = lambda key, text=part: int((re.search(r"\b" + key + r": +(\d+)", text) or [0, "0"])[1])
        if not number("simd_size"):
            continue
        spill = re.search(r"kernel %s .*?spilled around (\d+)" % name, said)
        scratch = re.search(r"per_thread_memory_buffers:(.*?)(?=\n    \w|\Z)", part, re.S)
        stack = number("size", scratch[1]) // number("simd_size") if scratch else 0
        out[name] = Figures(number("grf_count"), stack if spill else 0, 0 if spill else stack, number("slm_size"), number("simd_size"), 0)
    return out


def spirv(target, tools, source, constants, folder):
    """Valid or not: registers are the driver's business."""
    bitcode, module = os.path.join(folder, "k.bc"), os.path.join(folder, "k.spv")
    run([tools.clang, "-target", "spir64-unknown-unknown", "-O1", "-Xclang", "-disable-llvm-passes", "-emit-llvm", "-c"] + CLANG + constants +
        ["-o", bitcode, source])
    run([tools.llvm_spirv, "--spirv-max-version=1.2", bitcode, "-o", module])
    run([tools.spirv_val, "--target-env", "opencl2.2", module])
    with open(module, "rb") as f:
        text = f.read()
    return {n.decode(): Figures(0, 0, 0, 0, 0, text.count(b"matrix_mad")) for n in re.findall(rb"[A-Za-z_]\w+", text)}


def x86(target, tools, source, constants, folder):
    """As PoCL compiles, with its headers and functions. Spilled: bytes on their way between registers and stack in the stretches of
    code, from jump to jump, that the tiles' products are in; elsewhere it does not matter. A program has one kernel."""
    text = os.path.join(folder, "k.s")
    run([tools.clang, "-target", "x86_64-pc-linux-gnu", "-march=" + target.name, "-O3", "-x", "cl", "-cl-std=CL1.2", "-w", "-nostdinc",
         "-isystem", os.path.join(tools.pocl, "include"), "-include", os.path.join(tools.pocl, "include", "_kernel.h"),
         "-D__OPENCL_VERSION__=300", "-DPOCL_DEVICE_ADDRESS_BITS=64", "-D__USE_CLANG_OPENCL_C_H", "-Xclang", "-mlink-builtin-bitcode",
         "-Xclang", os.path.join(tools.pocl, "kernel-x86_64-pc-linux-gnu-avx512.bc")] + constants + ["-S", "-o", text, source])
    with open(text) as f:
        body = f.read()
    products = [part for part in re.split(r"\n(?:\.LBB\w+:|# %bb|\tj\w+\t)", body) if target.matrix_instruction in part]
    spill = sum(int(n) for part in products for n in re.findall(r"# (\d+)-byte (?:Folded )?(?:Spill|Reload)", part))
    return {name: Figures(0, spill, 0, 0, 0, body.count(target.matrix_instruction))
            for name in re.findall(r"^\t\.globl\t(\w+)", body, re.M)}


FAMILIES = {"nvidia": nvidia, "amd": amd, "intel": intel, "spirv": spirv, "x86": x86}


def compile_program(target, tools, source, constants, folder):
    return FAMILIES[target.family](target, tools, source, constants, folder)


# What a kept result depends on besides text, constants and tools; read now, since this file may change while compilers run.
RULES = {family: inspect.getsource(function) + " ".join(CLANG) for family, function in FAMILIES.items()}


# ---- occupancy ----

# Of a multiprocessor: registers, threads, work-groups, bytes of local memory, and bytes that each group takes besides.
NVIDIA = {"sm_70": (65536, 2048, 32, 96 << 10, 0), "sm_80": (65536, 2048, 32, 164 << 10, 1 << 10), "sm_90": (65536, 2048, 32, 228 << 10, 1 << 10)}
# Of a SIMD: vector registers of a lane, granule they are given in, waves at most; lanes of a wave, SIMDs and local bytes of a unit
# (RDNA: of a pair of units).
AMD = {"gfx906": (256, 4, 10, 64, 4, 64 << 10), "gfx90a": (512, 8, 8, 64, 4, 64 << 10),
       "gfx1030": (1024, 8, 16, 32, 4, 128 << 10), "gfx1100": (1536, 24, 16, 32, 4, 128 << 10)}
# Threads of a sub-slice (Xe-core), and its local bytes.
INTEL = {"skl": (56, 64 << 10), "tgllp": (112, 64 << 10), "dg2": (128, 128 << 10), "pvc": (64, 128 << 10)}


def groups_resident(target, f, items):
    """Work-groups of `items` that a multiprocessor, unit or sub-slice holds at once, and the most threads, waves it could hold:
    (groups, waves of a group, waves at most); None where the compiler tells no registers."""
    if target.family == "nvidia":
        registers, threads, groups, local, extra = NVIDIA[target.name]
        warps = math.ceil(items / 32)
        by_registers = registers // (math.ceil(max(f.registers, 1) * 32 / 256) * 256) // warps
        by_local = local // (f.local + extra) if f.local + extra else groups
        return min(groups, threads // 32 // warps, by_registers, by_local), warps, threads // 32
    if target.family == "amd":
        registers, granule, most, lanes, simds, local = AMD[target.name]
        waves = math.ceil(items / lanes)
        each = min(most, registers // (math.ceil(max(f.registers, 1) / granule) * granule))
        by_local = local // f.local if f.local else most * simds
        return min(each * simds // waves, by_local), waves, most * simds
    if target.family == "intel":
        threads, local = INTEL[target.name]
        waves = math.ceil(items / f.simd)
        return min(threads // waves, local // f.local if f.local else threads), waves, threads
    return None


def occupancy(target, f, items):
    """Share of the threads or waves that could be there, in percent; None: not known."""
    r = groups_resident(target, f, items)
    return None if r is None else round(100 * min(1.0, r[0] * r[1] / r[2]))
