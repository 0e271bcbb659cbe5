"""Statistics of data sets on a terminal and as a plot."""

from __future__ import annotations

import io
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from genllava_finetune.data.command_output import printable
from genllava_finetune.data.row_kinds import ROW_KINDS
from genllava_finetune.data.statistics import DUPLICATES

if TYPE_CHECKING:
    from rich.table import Table

    from genllava_finetune.data.statistics import Statistics

_SHOWN: Final = 6
"""Sources, licences and reasons that a table lists; the others are counted."""


def table(reports: Mapping[str, Mapping[str, Any]]) -> Table:
    """A table with a column for each data set.

    Args:
        reports: `Statistics.as_dict` by the name of the data set.
    """
    from rich.table import Table
    from rich.text import Text

    caption = "of sizes and lengths: 5% · median · 95% · most"
    shown = Table(show_edge=False, pad_edge=False, caption=caption, caption_justify="left")
    shown.add_column("")
    for name in reports:
        shown.add_column(Text(printable(name)), justify="right", overflow="fold")
    cells = [_cells(report) for report in reports.values()]
    for section in cells[0]:
        for line in cells[0][section]:
            shown.add_row(line, *(Text(column[section].get(line, "")) for column in cells))
        shown.add_section()
    return shown


def plot(statistics: Mapping[str, Statistics]) -> bytes:
    """Four plots as a PNG: kinds of rows, lengths of what is asked and answered, sizes of pictures, licences.

    Args:
        statistics: by the name of the data set.
    """
    import numpy as np
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11, 8), layout="constrained")
    kinds, lengths, sizes, licenses = figure.subplots(2, 2).flat
    names = list(statistics)
    for axes, title, columns in (
        (kinds, "kinds of rows", {kind: [one.kinds[kind] for one in statistics.values()] for kind in ROW_KINDS}),
        (licenses, "licences", _license_columns(statistics)),
    ):
        left = np.zeros(len(names))
        for label, counts in columns.items():
            if any(counts):
                axes.barh(names, counts, left=left, label=label)
                left += np.asarray(counts)
        axes.invert_yaxis()
        axes.set_title(title)
        axes.set_xlabel("rows")
        axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.15), ncols=4, frameon=False)
    for what in ("asked", "answered"):
        words = np.concatenate([np.asarray(one.words[what], float) for one in statistics.values()])
        if words.size:
            edges = np.geomspace(1, max(words.max(), 2) + 1, 40)
            lengths.hist(np.maximum(words, 1), edges, alpha=0.6, label=what)
    lengths.set_xscale("log")
    lengths.set_title("words of a message")
    lengths.set_ylabel("messages")
    lengths.legend()
    for name, one in statistics.items():
        if one.sizes:
            (wide, high), many = zip(*one.sizes, strict=True), np.fromiter(one.sizes.values(), float)
            sizes.scatter(wide, high, 6 + 120 * many / many.max(), alpha=0.5, label=name)
            sizes.legend()
    sizes.set_title("sizes of pictures (area: how many)")
    sizes.set_xlabel("width")
    sizes.set_ylabel("height")
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=110)
    return buffer.getvalue()


def _license_columns(statistics: Mapping[str, Statistics]) -> dict[str, list[int]]:
    known = sorted(set().union(*(one.licenses for one in statistics.values())))
    return {name: [one.licenses[name] for one in statistics.values()] for name in known}


def _cells(report: Mapping[str, Any]) -> dict[str, dict[str, str]]:
    """The lines of a column by section."""
    pictures = report["pictures"]
    lengths = {
        f"{unit} {name}": _spread(spread)
        for unit in ("words", "tokens")
        for name, spread in report.get(unit, {}).items()
    }
    return {
        "counts": {
            "rows": f"{report['rows']:,}",
            "invalid rows": f"{report['invalid']:,}",
            "rejected when prepared": f"{report['rejects']['count']:,}",
            "messages": f"{report['messages']:,}",
            "turns": f"{report['turns']:,}",
        },
        "kinds": {kind: f"{count:,}" for kind, count in report["kinds"].items()},
        "pictures": {
            "pictures": f"{pictures['count']:,}",
            "different pictures": f"{pictures['different']:,}",
            "unreadable pictures": f"{pictures['unreadable']:,}",
            "MB of pictures": f"{pictures['bytes'] / 1e6:,.1f}",
            "width": _spread(pictures["width"]),
            "height": _spread(pictures["height"]),
        },
        "lengths": lengths,
        "repeated": {f"repeated {name}": f"{report['duplicates'][name]:,}" for name in DUPLICATES},
        "names": {
            "sources": _listed(report["sources"]),
            "licences": _listed(report["licenses"]),
            "why rejected": _listed(report["rejects"]["reasons"]),
        },
    }


def _spread(spread: Mapping[str, float]) -> str:
    if not spread["count"]:
        return "–"
    return " · ".join(f"{spread[name]:,}" for name in ("p5", "p50", "p95", "max"))


def _listed(counts: Mapping[str, int]) -> str:
    lines = [f"{printable(name)} {count:,}" for name, count in list(counts.items())[:_SHOWN]]
    more = [f"and {len(counts) - _SHOWN} more"] if len(counts) > _SHOWN else []
    return "\n".join(lines + more) or "–"
