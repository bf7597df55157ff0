"""table.py: the compile lab's table: one row a kernel of a target, with the worst figures of its variants (sets of constants).
Variants that a plan takes by itself (default yes) and those of ways that must be asked for (no) stand apart."""
import collections
import os

COLUMNS = ["target", "kernel", "default", "ways", "variants", "registers", "spill", "stack", "local", "occupancy", "matrix", "worst"]
Row = collections.namedtuple("Row", COLUMNS)

HEAD = """# compile_lab.tsv: kernels compiled for devices that were not there; tools/compile_lab writes it. Worst figures of a kernel's variants:
# registers of a work-item (Intel: of a thread), bytes that it spills, bytes of arrays that lie in memory (stack), bytes of local memory
# of a work-group, percent of the waves that a unit could hold, matrix instructions; the constants of the variant with the worst
# spill, stack or else occupancy. "-": not known from this compiler.
"""


MATRIX_KERNELS = ("conv2d_matrix", "conv2d_weight_matrix", "attention_matrix", "conv2d_amx", "conv2d_weight_amx")


def absent(target, tool):
    return Row(target, "not installed: " + tool, *["-"] * (len(COLUMNS) - 2))


def items_of(launch):
    x, y, z = launch.items.split("/")[1].split("x")
    return int(x) * int(y) * int(z)


def row_of(target, name, is_default, variants, targets):
    """variants: [(launch, figures)] of one kernel."""
    def bad(v):
        occupancy = targets.occupancy(target, v[1], items_of(v[0]))
        return v[1].spill, v[1].stack, -(occupancy if occupancy is not None else 100)
    known = target.family not in ("spirv", "x86")
    worst = max(variants, key=bad)
    occupancy = [targets.occupancy(target, f, items_of(l)) for l, f in variants]
    top = lambda field: str(max(getattr(f, field) for _, f in variants)) if known or (target.family == "x86" and field == "spill") else "-"
    return Row(target.name, name, "yes" if is_default else "no", " ".join(sorted({l.op + ":" + l.way for l, _ in variants})),
               str(len({l.constants for l, _ in variants})), top("registers"), top("spill"), top("stack"), top("local"),
               str(min(occupancy)) if known else "-", str(min(f.matrix for _, f in variants)) if target.matrix_instruction else "-",
               worst[0].constants if known else "-")


def faults_of(target, launch, figures, is_default, given_out):
    """What is wrong with a variant. given_out: registers beyond which the compiler does not go, or None."""
    where = "%s %s:%s %s: " % (target.name, launch.program, launch.kernel, launch.constants)
    is_capped = given_out is not None and figures.registers >= given_out
    if is_default and figures.spill and not is_capped:
        yield where + "spills %d bytes of registers" % figures.spill
    if is_default and figures.stack and not is_capped:
        yield where + "keeps %d bytes of arrays in memory" % figures.stack
    if is_default and figures.local > target.local_limit:
        yield where + "%d bytes of local memory, the device has %d" % (figures.local, target.local_limit)
    if target.matrix_instruction and "PLAIN=0" in launch.constants and launch.kernel in MATRIX_KERNELS \
            and not figures.matrix:
        yield where + "no matrix instruction"


def rows(target, launches, results, targets):
    """Rows, and lines about what is wrong."""
    variants, faults = {}, []
    for failed in [p for p in results if isinstance(results[p], Exception)]:
        faults.append("%s %s %s: does not compile: %s" % (target.name, failed[0], failed[1], str(results[failed]).strip()))
    default = {(l.program, l.constants, l.kernel) for l in launches if l.is_default == "1"}
    for l in launches:
        figures = results[l.program, l.constants]
        if isinstance(figures, Exception):
            continue
        if l.kernel not in figures:
            faults.append("%s %s:%s: the compiled program has no such kernel" % (target.name, l.program, l.kernel))
            continue
        key = (l.program, l.constants, l.kernel)
        variants.setdefault((l.program + ":" + l.kernel, key in default), {})[l.constants, l.op, l.way] = (l, figures[l.kernel])
        faults += faults_of(target, l, figures[l.kernel], key in default, targets.GIVEN_OUT.get(target.name))
    out = [row_of(target, name, d, list(v.values()), targets) for (name, d), v in sorted(variants.items(), key=lambda i: (i[0][0], not i[0][1]))]
    return out, sorted(set(faults))


def read(path):
    """{ target: [Row] } of a table; nothing where there is none."""
    out = {}
    if os.path.exists(path):
        with open(path) as f:
            for line in f:
                if not line.startswith("#") and not line.startswith("target\t"):
                    r = Row(*line.rstrip("\n").split("\t"))
                    out.setdefault(r.target, []).append(r)
    return out


def write(path, all_rows):
    with open(path + ".new", "w") as f:
        f.write(HEAD + "\t".join(COLUMNS) + "\n")
        f.writelines("\t".join(r) + "\n" for r in all_rows)
    os.replace(path + ".new", path)


def compare(kept, now):
    """Lines about kernels of `now` that the table says better figures of. Kernels that it does not have are counted."""
    known = {(r.kernel, r.default): r for r in kept}
    new = [r for r in now if (r.kernel, r.default) not in known and not r.kernel.startswith("not installed")]
    if new:
        print("%-10s %d kernels are not in the table yet: tools/compile_lab adds them" % (new[0].target, len(new)))
    for r in now:
        k = known.get((r.kernel, r.default))
        if not k:
            continue
        for field, sign in (("spill", 1), ("stack", 1), ("occupancy", -1)):
            a, b = getattr(k, field), getattr(r, field)
            if a != "-" and b != "-" and sign * (int(b) - int(a)) > 0:
                yield "%s %s: %s %s, the table says %s (%s)" % (r.target, r.kernel, field, b, a, r.worst)
