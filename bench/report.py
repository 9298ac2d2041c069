"""Results as tables, as a picture, and as the pages of docs/performance.md."""
import math
import os
import shutil

import measure

INDEX = os.path.join(measure.ROOT, "docs", "performance.md")
PAGES = os.path.join(measure.ROOT, "docs", "performance")   # a page and a picture for each machine
MARK = "<!-- machines -->\n"                                # around the rows of INDEX
PEAKS = {"fma": "FMA", "dot": "bf16 dot", "amx": "AMX"}
PARTS = {  # of the group `kernels`: (title, {type: the mean to reach})
    "dense": ("Plain and causal", {"f32": 1.2, "bf16": "1.7, with AMX 2"}),
    "masks": ("Masks and score functions that FlexAttention can say", {"f32": 1.8, "bf16": 3.0}),
    "decode": ("A few queries against a long cache, 32 heads over 8 of keys, D = 128", {"f32": 3, "bf16": 3}),
    "beyond": ("What no library kernel can say", {"f32": "2.5, none below 1.2"}),
}


def grid(header, rows):
    """Columns of text, the first left, the others right."""
    widths = [max(len(str(row[k])) for row in [header] + rows) for k in range(len(header))]
    line = lambda row: "  ".join(str(c).ljust(w) if k == 0 else str(c).rjust(w) for k, (c, w) in enumerate(zip(row, widths))).rstrip()
    return "\n".join([line(header), line(["-" * w for w in widths])] + [line(row) for row in rows]) + "\n"


def machine(results):
    m = results["machine"]
    text = (f"{m['cpu']}, {m['threads']} processors ({' '.join(m['flags'])}), {m['memory_bytes'] / 2**30:.0f} GiB; load average "
            f"{m['load_average']:.1f} before the run, {m['load_average_at_end']:.1f} after it")
    if "kernels" in results:
        gflops, read = results["kernels"]["peaks"]["gflops"], results["kernels"]["peaks"]["read_gbs"]
        text += "; measured on one core: " + ", ".join(f"{PEAKS[kind]} {gflops[kind]:.0f} GFLOP/s" if gflops[kind] else f"no {PEAKS[kind]}" for kind in gflops)
        text += "".join(f", memory read by {n} thread{'s' * (int(n) > 1)} {read[n]:.1f} GB/s" for n in sorted(read))
    return text


def ratio(row):
    return row["peers"][row["best_peer"]]["minimum"] / row["fovea"]["minimum"]


def share(row, peaks):
    """Of the machine's peak for what bounds the kernel, and which that is, as text."""
    seconds, threads, gflops = row["fovea"]["minimum"], row["threads"], peaks["gflops"]
    if row["bytes"]:
        return f"{100 * row['bytes'] / seconds / 1e9 / peaks['read_gbs'][str(threads)]:.0f} % memory"
    kind = "fma" if row["type"] == "f32" else max(gflops, key=gflops.get)  # bf16 as tiles, as dot products, or as f32
    if not row["operations"] or not gflops[kind]:
        return ""
    return f"{100 * row['operations'] / seconds / 1e9 / gflops[kind] / threads:.0f} % {PEAKS[kind]}"


def ratios(k, part, kind):
    """Of all cases of a part and a type."""
    return [ratio(r) for r in k["rows"] if (r["part"], r["type"]) == (part, kind)]


def mean(numbers):
    return math.exp(sum(map(math.log, numbers)) / len(numbers))


def two_threads(rows):
    """How many times as fast two threads are as one, of the cases that ran on both."""
    times = {(r["name"], r["threads"]): r["fovea"]["minimum"] for r in rows}
    faster = [times[name, 1] / seconds for (name, threads), seconds in times.items() if threads == 2 and (name, 1) in times]
    return f"{mean(faster):.2f}" if faster else ""


def kernels(k):
    texts, means = [], []
    for part, (title, goals) in PARTS.items():
        rows = [r for r in k["rows"] if r["part"] == part]
        if not rows:
            continue
        lines = []
        for r in rows:
            best = r["peers"][r["best_peer"]]
            lines.append([r["name"], r["type"], r["threads"], f"{1e3 * r['fovea']['minimum']:.2f}", f"{1e3 * r['fovea']['median']:.2f}",
                          share(r, k["peaks"]), f"{1e3 * best['minimum']:.2f}", f"{1e3 * best['median']:.2f}",
                          r["best_peer"], f"{ratio(r):.2f}", f"{best['median'] / r['fovea']['median']:.2f}", f"{r['differences']['fovea']:.0e}"])
        texts.append(f"{title}\n\n" + grid(["kernel", "type", "threads", "ours min", "median", "of peak", "peer min", "median", "best peer", "faster, min", "median", "difference"], lines))
        for kind, goal in goals.items():
            faster = ratios(k, part, kind)
            means.append([f"{part}, {kind}", len(faster), f"{mean(faster):.2f}", f"{min(faster):.2f}", goal, two_threads([r for r in rows if r["type"] == kind])])
    return (f"Kernels against the best of {k['peer']}'s ways (milliseconds; faster = the peer's time / ours)\n\n" + "\n".join(texts) +
            "\nGeometric means of what is faster, min\n\n" + grid(["part", "cases", "mean", "lowest", "goal", "ours, 2 threads to 1"], means))


def model(m):
    rows = []
    for b in m["batches"]:
        ours, peer = b["fovea"], b["pytorch"]
        rows.append([b["batch"], f"{ours['best']:.0f}", f"{ours['median']:.0f}", f"{ours['peak_rss_bytes'] / 1e6:.0f}", f"{peer['best']:.0f}", f"{peer['median']:.0f}",
                     f"{peer['peak_rss_bytes'] / 1e6:.0f}", f"{ours['best'] / peer['best']:.2f}", f"{ours['median'] / peer['median']:.2f}",
                     f"{ours['peak_rss_bytes'] / peer['peak_rss_bytes']:.2f}", b["same_answers"]])
    return (f"g2p_transformer, greedy, {m['words']} words, {m['threads']} threads, against {m['batches'][0]['peer']} (words a second; the program's own batch first)\n\n" +
            grid(["batch", "ours best", "median", "MB", "PyTorch best", "median", "MB", "faster, best", "median", "memory", "same answers"], rows))


def searched(row):
    return f"{row['model']}, {row['type']}, batch {row['batch']}, " + ("greedy" if row["beam"] == 1 else f"beam {row['beam']}")


def searches(s):
    side = lambda row, name: [f"{row[name]['best']:.0f}", f"{row[name]['median']:.0f}", f"{row[name]['peak_rss_bytes'] / 1e6:.0f}"] if name in row else [""] * 3
    times = lambda row, name: f"{row['fovea']['best'] / row[name]['best']:.2f}" if name in row else ""
    rows = [[searched(r), *side(r, "fovea"), *side(r, "ctranslate2"), *side(r, "onnxruntime"), *side(r, "pytorch"), *(times(r, name) for name in ("ctranslate2", "onnxruntime", "pytorch")),
             ", ".join(str(r[name]["same_answers"]) for name in r["peers"]) + f" of {r['lines']}"] for r in s["rows"]]
    names = ", ".join(s["rows"][0]["peers"].values())
    return (f"Programs against {names}, in f32 and int8, {s['threads']} threads: tokens a second of the best and the median round, peak memory in MB, ours as a multiple of CTranslate2's, "
            "ONNX Runtime's and PyTorch's, and answers that are the same as ours\n\n" +
            grid(["", "Fovea", "median", "MB", "CTranslate2", "median", "MB", "ONNX", "median", "MB", "PyTorch", "median", "MB", "x CT2", "x ONNX", "x PyTorch", "same"], rows))


def support(s):
    rows = [[r["name"], f"{100 * r['share']:.2f} %", f"{r['milliseconds']:.2f}", f"{r['ratio']:.2f}"] for r in s["rows"]]
    return (f"Masked kernels, {s['threads']} threads: the share of pairs that the mask keeps, the time, and the time against that share of the dense kernel's\n\n" +
            grid(["kernel", "pairs", "milliseconds", "ratio"], rows))


def schedules(s):
    """A line for each kind of call; candidates are named layout, queries x keys of a tile."""
    name = lambda c: f"{c['layout']} {c['queries']} x {c['keys']}"
    percent = lambda x: f"{100 * x:.1f} %"
    rows, all_rows = [], [(g, g["judged"]) for g in s["groups"]]
    for g, j in all_rows:
        rows.append([f"{g['type']}, {g['mask']}, D {g['features']}, {g['rows']} queries" + (f", {g['heads'] // g['groups']} heads share keys" if g["heads"] > g["groups"] else ""),
                     len(g["candidates"]) - 1, f"{j['spearman']:.2f}", f"{j['fastest']['milliseconds']:.3f}", name(j["fastest"]), name(j["cheapest"]), percent(j["regret"]), percent(j["compiler"])])
    means = lambda key: sum(j[key] for _, j in all_rows) / len(all_rows)
    rows.append(["mean", "", f"{means('spearman'):.2f}", "", "", "", percent(means("regret")), percent(means("compiler"))])
    return ("Schedules of fused attention, one thread, 4,096 keys: the rank correlation (Spearman) of estimates with times; the fastest candidate and the one of the least estimate, which is\n"
            "slower by its regret; and by how much the compiler's choice is slower than the fastest, for it must do for every number of queries\n\n" +
            grid(["", "candidates", "correlation", "milliseconds", "fastest", "least estimate", "regret", "compiler's choice"], rows))


PHASES = {  # of `--time-passes`: (column, the phases that it adds up); what begins with "emit" is emission
    "front end": ("frontend", "emit", "stages", "check weights"),
    "MLIR": ("load dialects", "fuse", "schedule", "loops", "host"),
    "LLVM": ("translate to LLVM", "LLVM passes", "LLVM code generation"),
    "leaves": ("leaves",),
    "link": ("link", "link program"),
}


def phase_milliseconds(passes, phases):
    return sum(p["ms"] for p in passes["parts"] if p["name"] in phases or ("emit" in phases and p["name"].startswith("emit ")))


def compiled_functions(passes):
    """The versions that a compilation makes: of each kernel one, or one for each extent that a constraint lists and one for all others."""
    return sum(p["name"].startswith("emit ") for p in passes["parts"])


def slowest_passes(kernels, count):
    """Of MLIR's passes and LLVM's phases: over all kernels, and in the kernel where it takes longest."""
    totals, longest = {}, {}
    for name, t in kernels.items():
        own = {}
        for phase in t["cold"]["passes"]["parts"]:
            inside = [] if phase["name"].startswith("emit ") else phase.get("parts", [])
            for p in inside or [phase]:
                label = "emit" if p["name"].startswith("emit ") else p["name"]
                own[label] = own.get(label, 0) + p["ms"]
        for label, ms in own.items():
            totals[label] = totals.get(label, 0) + ms
            longest[label] = max(longest.get(label, (0, "")), (ms, name))
    ordered = sorted(totals, key=lambda label: -totals[label])[:count]
    return [[label, f"{totals[label] / len(kernels):.1f}", f"{longest[label][0]:.1f}", longest[label][1]] for label in ordered]


def compile_times(c):
    good = {name: t for name, t in c["kernels"].items() if t["cold"]["passes"] and t["warm"]["passes"]}
    versions = lambda t: compiled_functions(t["cold"]["passes"])
    ordered = sorted(good.items(), key=lambda item: -item[1]["cold"]["minimum"])

    def row(name, t, count):
        passes = t["cold"]["passes"]
        return [name, count, f"{t['cold']['minimum']:.2f}", f"{t['cold']['cpu_minimum']:.2f}", f"{t['cold']['minimum'] / count:.2f}" if count else "",
                *(f"{phase_milliseconds(passes, phases):.0f}" for phases in PHASES.values()), passes["leaves"]["compiled"], f"{passes['leaves']['process_ms']:.0f}",
                f"{t['warm']['minimum']:.2f}", f"{t['warm']['cpu_minimum']:.2f}", t["bytes"]]

    rows = [row(name, t, versions(t)) for name, t in ordered]
    if c["transformer"]["cold"]["passes"]:
        rows.append(row("fovea build g2p_transformer", c["transformer"], ""))
    if "base_transformer" in c and c["base_transformer"]["cold"]["passes"]:
        rows.append(row("fovea build base_transformer", c["base_transformer"], ""))
    slow = [name for name, t in ordered if t["cold"]["minimum"] > versions(t)]
    return ("Compile time. Cold is with an empty leaf cache, warm with a full one, in seconds; CPU is user and system, of all processes; a version is what one list of extents or all others\n"
            "get, a kernel without such lists has one. Phases are milliseconds of the cold run, of leaves what is waited for after LLVM; their processes run side by side, also beside LLVM.\n\n" +
            grid(["", "versions", "cold", "CPU", "a version", *PHASES, "made", "processes", "warm", "CPU", "bytes"], rows) +
            "\n" + (f"More than 1 s a version, cold: {', '.join(slow)}.\n" if slow else "No kernel takes more than 1 s a version, cold.\n") +
            "\nThe slowest passes and phases, milliseconds, cold\n\n" + grid(["", "a kernel, mean", "longest", "in"], slowest_passes(good, 15)) +
            f"\nfovea --help, warm: minimum {1e3 * c['help']['minimum']:.0f} ms, median {1e3 * c['help']['median']:.0f} ms\n")


SECTIONS = {"kernels": kernels, "support": support, "schedules": schedules, "model": model, "searches": searches, "compile": compile_times}


def tables(results):
    parts = ["Machine: " + machine(results) + "\n"]
    if results["quick"]:
        parts.append("A quick run: few repeats, small sizes; no result to quote.\n")
    return "\n".join(parts + [SECTIONS[g](results[g]) for g in SECTIONS if g in results])


def plot_kernels(axis, k, colours):
    """A bar for each case, a line at 1, and the mean of each part and type."""
    x, ticks = 0, []
    for part, (title, _) in PARTS.items():
        for kind in ("f32", "bf16"):
            rows = [r for r in k["rows"] if r["part"] == part and r["type"] == kind]
            if not rows:
                continue
            places = range(x, x + len(rows))
            ratios = [ratio(r) for r in rows]
            axis.bar(places, [r - 1 for r in ratios], 0.8, bottom=1, color=colours[kind])
            axis.plot([x - 0.5, x + len(rows) - 0.5], [mean(ratios)] * 2, color="#c0392b", linewidth=1.5)
            axis.text(x + (len(rows) - 1) / 2, 0.99, f"{part} {kind}\nmean {mean(ratios):.2f}", transform=axis.get_xaxis_transform(), ha="center", va="top", fontsize=9)
            ticks += [(p, r["name"] + (f", {r['threads']} thr." if part in ("dense", "decode") else "")) for p, r in zip(places, rows)]
            x += len(rows) + 1
    axis.axhline(1, color="black", linewidth=1)
    axis.set_yscale("log")
    low, high = (f([1, *map(ratio, k["rows"])]) for f in (min, max))
    axis.set_ylim(low / 1.3, high * 3)
    steps = [s for s in (0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50, 100, 200, 500) if low / 1.3 <= s <= high * 3]
    axis.set_yticks(steps, [f"{s:g}" for s in steps])
    axis.minorticks_off()
    axis.set_xlim(-1, x - 1)
    axis.set_xticks([p for p, _ in ticks], [name for _, name in ticks], rotation=90, fontsize=7)
    axis.set_ylabel("times as fast as the best peer")
    axis.set_title(f"Compiled kernels against the best of {k['peer']}'s ways (above the line is faster, red is the geometric mean)")


def plot_schedules(axis, s, colours):
    """A point for each candidate of each call: its time against its estimate, both as multiples of the call's least."""
    for kind, colour in colours.items():
        x, y = [], []
        for g in s["groups"]:
            of = [c for c in g["candidates"] if "cycles" in c]
            least = [min(c[key] for c in of) for key in ("milliseconds", "cycles")]
            x += [c["milliseconds"] / least[0] for c in of if g["type"] == kind]
            y += [c["cycles"] / least[1] for c in of if g["type"] == kind]
        axis.plot(x, y, ".", markersize=4, color=colour, label=kind, alpha=0.6)
    axis.plot([1, 100], [1, 100], color="grey", linestyle="--", linewidth=1)
    axis.set_xscale("log"), axis.set_yscale("log")
    axis.set_xlabel("time, as a multiple of the fastest's")
    axis.set_ylabel("estimate, as a multiple of the least")
    axis.set_title("Schedules of fused attention")
    axis.legend(fontsize=8)


def plot(results, path):
    import matplotlib
    matplotlib.use("Agg")
    from matplotlib import pyplot

    ours, theirs = "#1f6f8b", "#c9a227"
    below = [g for g in ("schedules", "model", "searches", "compile") if g in results] or ["support"] * ("kernels" not in results)
    shape = [["kernels"] * max(1, len(below))] * ("kernels" in results) + [below] * bool(below)
    figure, axes = pyplot.subplot_mosaic(shape, figsize=(16 if "kernels" in results else 5.5 * len(below), 6.5 * ("kernels" in results) + 4.2 * bool(below)),
                                         height_ratios=[6.5] * ("kernels" in results) + [4.2] * bool(below))
    for group, axis in axes.items():
        r = results[group]
        if group == "kernels":
            plot_kernels(axis, r, {"f32": ours, "bf16": theirs})
        elif group == "schedules":
            plot_schedules(axis, r, {"f32": ours, "bf16": theirs})
        elif group == "model":
            batches = sorted(r["batches"], key=lambda b: b["batch"])
            for offset, side, colour, label in ((-0.2, "fovea", ours, "Fovea"), (0.2, "pytorch", theirs, batches[0]["peer"])):
                axis.bar([k + offset for k in range(len(batches))], [b[side]["best"] for b in batches], 0.4, color=colour, label=label)
                for k, b in enumerate(batches):
                    axis.text(k + offset, b[side]["best"], f"{b[side]['peak_rss_bytes'] / 1e6:.0f} MB", ha="center", va="bottom", fontsize=8)
            axis.set_xticks(range(len(batches)), [f"batch {b['batch']}" for b in batches])
            axis.set_ylim(0, 1.3 * max(b[s]["best"] for b in batches for s in ("fovea", "pytorch")))
            axis.set_ylabel("words a second")
            axis.legend(fontsize=8)
            axis.set_title(f"g2p_transformer, greedy, {r['threads']} threads")
        elif group == "searches":
            names = [searched(row).replace("_transformer", "") for row in r["rows"]]
            best = [max(row[name]["best"] for name in row["peers"]) for row in r["rows"]]
            axis.barh(names[::-1], [row["fovea"]["best"] / most for row, most in zip(r["rows"], best)][::-1], color=ours)
            axis.axvline(1, color="grey", linestyle="--", linewidth=1)
            axis.set_xlabel("tokens a second, as a multiple of the best peer's")
        elif group == "support":
            rows = [row for row in r["rows"] if row["ratio"] != 1]
            axis.barh([row["name"] for row in rows], [row["ratio"] for row in rows], color=ours)
            axis.axvline(1, color="grey", linestyle="--", linewidth=1)
            axis.set_xlabel("time against the share of the dense kernel's")
        else:
            for state, colour in (("cold", ours), ("warm", theirs)):
                axis.plot(sorted(t[state]["minimum"] for t in r["kernels"].values()), marker=".", color=colour, label=f"{state} leaf cache")
            axis.set_xlabel("example kernels, each line sorted")
            axis.set_ylabel("seconds")
            axis.set_ylim(0, None)
            axis.set_title("fovea compile")
            axis.legend(fontsize=8)
        for side in ("top", "right"):
            axis.spines[side].set_visible(False)
    figure.tight_layout()
    figure.savefig(path, dpi=110)
    pyplot.close(figure)


def page(results, picture):
    """Writes the page of this machine, docs/performance/TARGET.md with its picture, and its row in docs/performance.md."""
    target = results["machine"]["target"]
    body = "\n\n".join(SECTIONS[g](results[g]).replace("\n\n", "\n\n```text\n", 1).replace("\n\nfovea --help", "\n```\n\n`fovea --help`", 1).rstrip() +
                       ("" if g == "compile" else "\n```") for g in SECTIONS if g in results)
    os.makedirs(PAGES, exist_ok=True)
    with open(os.path.join(PAGES, target + ".md"), "w", encoding="utf-8") as f:
        f.write(f"""# Performance, {target}

Written by `./dev bench --docs {" ".join(g for g in SECTIONS if g in results)}`. [How it is measured](../performance.md).

![Kernels against their peers, the Transformer program, and compile times]({target}.png)

Machine: {machine(results)}.

{body}
""")
    shutil.copyfile(picture, os.path.join(PAGES, target + ".png"))
    cells = [f"{mean(ratios(results['kernels'], part, kind)):.2f}" for part, (_, goals) in PARTS.items() for kind in goals]
    with open(INDEX, encoding="utf-8") as f:
        before, rows, after = f.read().split(MARK)
    rows = [row for row in rows.splitlines(keepends=True) if not row.startswith(f"| [{target}]")]
    rows.append(f"| [{target}](performance/{target}.md) | {results['machine']['cpu']} | {' | '.join(cells)} |\n")
    with open(INDEX, "w", encoding="utf-8") as f:
        f.write(before + MARK + "".join(rows[:2] + sorted(rows[2:])) + MARK + after)
