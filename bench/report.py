"""Results as tables, as a picture, and as docs/performance.md."""
import os
import shutil

import measure

PAGE = os.path.join(measure.ROOT, "docs", "performance.md")
PICTURE = os.path.join(measure.ROOT, "bench", "performance.png")


def grid(header, rows):
    """Columns of text, the first left, the others right."""
    widths = [max(len(str(row[k])) for row in [header] + rows) for k in range(len(header))]
    line = lambda row: "  ".join(str(c).ljust(w) if k == 0 else str(c).rjust(w) for k, (c, w) in enumerate(zip(row, widths))).rstrip()
    return "\n".join([line(header), line(["-" * w for w in widths])] + [line(row) for row in rows]) + "\n"


def machine(results):
    m = results["machine"]
    text = (f"{m['cpu']}, {m['threads']} processors ({' '.join(m['flags'])}), {m['memory_bytes'] / 2**30:.0f} GiB; load average "
            f"{m['load_average']:.1f} before the run, {m['load_average_at_end']:.1f} after it")
    if "attention" in results:
        text += f"; measured FMA peak of one core {results['attention']['core_peak_gflops']:.0f} GFLOP/s"
    return text


def attention(a):
    rows = []
    for r in a["rows"]:
        row = [f"{r['length']}{' causal' if r['causal'] else ''}", r["threads"]]
        for side in ("fovea", "pytorch"):
            s = r[side]
            rate = r["operations"] / s["minimum"] / 1e9
            row += [f"{1e3 * s['minimum']:.2f}", f"{1e3 * s['median']:.2f}", f"{rate:.0f}", f"{100 * rate / a['core_peak_gflops'] / r['threads']:.0f} %"]
        row += [f"{r['pytorch']['minimum'] / r['fovea']['minimum']:.2f}", f"{r['pytorch']['median'] / r['fovea']['median']:.2f}", f"{r['difference']:.0e}"]
        rows.append(row)
    return (f"Attention, f32, B = {a['batch']}, {a['heads']} heads, D = {a['size']}, against {a['peer']} (milliseconds; faster = PyTorch's time / ours)\n\n" +
            grid(["L", "threads", "ours min", "median", "GFLOP/s", "of peak", "PyTorch min", "median", "GFLOP/s", "of peak", "faster, min", "median", "difference"], rows))


def model(m):
    rows = []
    for b in m["batches"]:
        ours, peer = b["fovea"], b["pytorch"]
        rows.append([b["batch"], f"{ours['best']:.0f}", f"{ours['median']:.0f}", f"{ours['peak_rss_bytes'] / 1e6:.0f}", f"{peer['best']:.0f}", f"{peer['median']:.0f}",
                     f"{peer['peak_rss_bytes'] / 1e6:.0f}", f"{ours['best'] / peer['best']:.2f}", f"{ours['median'] / peer['median']:.2f}",
                     f"{ours['peak_rss_bytes'] / peer['peak_rss_bytes']:.2f}", b["same_answers"]])
    return (f"g2p_transformer, greedy, {m['words']} words, {m['threads']} threads, against {m['batches'][0]['peer']} (words a second; the program's own batch first)\n\n" +
            grid(["batch", "ours best", "median", "MB", "PyTorch best", "median", "MB", "faster, best", "median", "memory", "same answers"], rows))


def support(s):
    rows = [[r["name"], f"{100 * r['share']:.2f} %", f"{r['milliseconds']:.2f}", f"{r['ratio']:.2f}"] for r in s["rows"]]
    return (f"Masked kernels, {s['threads']} threads: the share of pairs that the mask keeps, the time, and the time against that share of the dense kernel's\n\n" +
            grid(["kernel", "pairs", "milliseconds", "ratio"], rows))


def compile_times(c):
    ordered = sorted(c["kernels"].items(), key=lambda item: -item[1]["cold"]["minimum"])
    row = lambda name, t: [name, f"{t['cold']['minimum']:.2f}", f"{t['cold']['median']:.2f}", f"{t['cold']['cpu_minimum']:.2f}", f"{t['warm']['minimum']:.2f}",
                           f"{t['warm']['median']:.2f}", f"{t['warm']['cpu_minimum']:.2f}"]
    rows = [row(name, t) for name, t in ordered]
    rows.append(row("fovea build g2p_transformer", c["transformer"]))
    return ("Compile time in seconds: cold is with an empty leaf cache, warm with a full one; CPU is user and system, of all processes\n\n" +
            grid(["", "cold, min", "median", "CPU", "warm, min", "median", "CPU"], rows) +
            f"\nfovea --help, warm: minimum {1e3 * c['help']['minimum']:.0f} ms, median {1e3 * c['help']['median']:.0f} ms\n")


SECTIONS = {"attention": attention, "support": support, "model": model, "compile": compile_times}


def tables(results):
    parts = ["Machine: " + machine(results) + "\n"]
    if results["quick"]:
        parts.append("A quick run: few repeats, small sizes; no result to quote.\n")
    return "\n".join(parts + [SECTIONS[g](results[g]) for g in SECTIONS if g in results])


def plot(results, path):
    import matplotlib
    matplotlib.use("Agg")
    from matplotlib import pyplot

    groups = [g for g in SECTIONS if g in results and g != "support"] or ["support"]
    figure, axes = pyplot.subplots(1, len(groups), figsize=(5.5 * len(groups), 4.2), squeeze=False)
    ours, theirs = "#1f6f8b", "#c9a227"
    for axis, group in zip(axes[0], groups):
        r = results[group]
        if group == "attention":
            names = [f"{row['length']}{' causal' if row['causal'] else ''}, {row['threads']} thr." for row in r["rows"]]
            for offset, side, colour, label in ((-0.2, "fovea", ours, "Fovea"), (0.2, "pytorch", theirs, r["peer"])):
                rate = [row["operations"] / row[side]["minimum"] / 1e9 / row["threads"] for row in r["rows"]]
                axis.bar([k + offset for k in range(len(names))], rate, 0.4, color=colour, label=label)
            axis.axhline(r["core_peak_gflops"], color="grey", linestyle="--", linewidth=1, label="measured FMA peak")
            axis.set_xticks(range(len(names)), names, rotation=40, ha="right", fontsize=8)
            axis.set_ylabel("GFLOP/s a thread")
            axis.set_title("f32 attention, 8 heads of 64")
            axis.set_ylim(0, 1.25 * r["core_peak_gflops"])
            axis.legend(fontsize=8, loc="upper right")
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
    body = "\n\n".join(SECTIONS[g](results[g]).replace("\n\n", "\n\n```text\n", 1).replace("\n\nfovea --help", "\n```\n\n`fovea --help`", 1).rstrip() +
                       ("" if g == "compile" else "\n```") for g in SECTIONS)
    with open(PAGE, "w", encoding="utf-8") as f:
        f.write(f"""# Performance

Written by `./dev bench --docs`; `./dev bench [--quick] [GROUP]` shows the same tables and leaves them, with all single times as JSON and
the picture, in `build/bench`. The groups are attention, support, model and compile.

![Attention, the Transformer program, and compile times](../bench/performance.png)

Machine: {machine(results)}.

{body}

## How it is measured
- Both sides run in turns, in the same run and on the same threads. Their outputs are compared: attention to 2e-5, the model's answers word by word.
- Attention: after a first call that is not counted, one process calls the compiled kernel through ctypes on the memory of the PyTorch tensors; after each call it sleeps 20 ms, so that one side's waiting threads
  do not disturb the other. Operations are those of the two products, under a causal mask of the pairs that it keeps. The FMA peak is measured between the calls on one core
  (bench/peak.c), and two threads are held against twice that.
- Support: `fovea run --time 15`, the minimum. What a mask cannot bound (`documents` by comparing numbers) is tested at each point and is not listed. A graph's
  neighbours are drawn at random, so its rows of values come from all over the memory, where the dense kernel reads them in order.
- Model: the PyTorch side (test/models/bench_transformer_peer.py) has a key and value cache, batches sorted by length, and drops lines that have ended. Its start and the reading of its weights are not counted; ours is
  the whole process. Peak RSS is of the whole process on both sides.
- A machine that others use at the same time gives longer times: compare minima, and see the load average above.
""")
    shutil.copyfile(picture, PICTURE)
