"""Draws figures.json as one SVG: `plot.py FIGURES SVG`."""

import json
import sys

import matplotlib

matplotlib.use("svg")
matplotlib.rcParams.update({"svg.hashsalt": "sshepherd", "font.size": 9, "axes.grid": True, "grid.alpha": 0.3})
import matplotlib.pyplot as plt  # noqa: E402  after the choice of what draws

OURS, OTHERS = "#1b6ca8", "#707070"


def table(figures, start):
    return next((table for table in figures["tables"] if table["title"].startswith(start)), None)


def short(name):
    """The name on an axis: without what only the table needs."""
    name = name.replace("`", "")
    return name.split(",")[0] if name.startswith("ours") else name.replace(" (", "\n(").replace(", ", ",\n")


def dots(axes, found, title, unit):
    """One dot for each row with a figure in the first column, ours in another colour; a tenfold is as long as any other."""
    rows = [(row["who"], row["cells"][0]) for row in found["rows"] if row["cells"][0] is not None]
    rows.sort(key=lambda row: row[1], reverse=True)
    for place, (name, value) in enumerate(rows):
        axes.plot(value, place, "o", color=OURS if name.startswith("ours") else OTHERS)
        axes.annotate(f"{value:.3g}", (value, place), xytext=(6, 0), textcoords="offset points", va="center", fontsize=8)
    axes.set_yticks(range(len(rows)), [short(name) for name, _ in rows])
    axes.set(title=title, xlabel=unit, xscale="log")
    axes.margins(x=0.2, y=0.1)


def lines(axes, growth, series, title, unit):
    hosts = [point["hosts"] for point in growth]
    for key, label, colour in series:
        axes.plot(hosts, [point[key] for point in growth], marker="o", label=label, color=colour)
    axes.set(title=title, xlabel="hosts", ylabel=unit, ylim=(0, None))
    axes.legend()


def main():
    source, target = sys.argv[1:]
    with open(source) as file:
        figures = json.load(file)
    drawing, rooms = plt.subplots(2, 3, figsize=(15, 8), layout="constrained")
    dots(rooms[0][0], table(figures, "`true` on one host, warm"), "true on one host, warm, p50", "ms")
    dots(rooms[0][1], table(figures, "`uptime` on 1000"), "uptime on 1,000 fake hosts, cold", "s")
    dots(rooms[0][2], table(figures, "Start and idle"), "start to tools/list", "ms")
    growth = figures["growth"]
    times = [("cold_s", "cold", OURS), ("warm_s", "warm", "#e08a1e")]
    lines(rooms[1][0], growth, times, "ours: time", "s")
    processor = [("cpu_ms", "cold", OURS), ("warm_cpu_ms", "warm", "#e08a1e")]
    lines(rooms[1][1], growth, processor, "ours: processor of the server", "ms a host")
    lines(rooms[1][2], growth, [("memory_mb", "every host connected", OURS)], "ours: memory", "MB")
    machine = figures["machine"]
    drawing.suptitle(f"SSHepherd beside its peers: {machine['processors']} processors, {machine['date']}, {machine['commit']}")
    drawing.savefig(target, metadata={"Date": None})


main()
