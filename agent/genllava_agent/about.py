"""What `genllava info` says: versions, devices, and what a model is made of, read from its files."""

from __future__ import annotations

import platform
from importlib import metadata
from typing import Any, Final

from genllava.memory import free_memory, gigabytes
from genllava.model_info import PRECISIONS, model_info

LIBRARIES: Final = ("torch", "transformers", "diffusers", "accelerate", "pillow")


def describe(model: str | None, decoder: str | None = None, editor: str | None = None) -> dict[str, Any]:
    """Versions, devices and the parts of `model` (None: the shipped one), and of what is put together with it.

    Raises:
        CheckpointError: a model is not on this machine, or its files cannot be read.
    """
    from genllava import __version__

    named = {"": model, "decoder": decoder, "editor": editor}
    infos = {place: model_info(source) for place, source in named.items() if source is not None or not place}
    parts = [
        {
            "part": f"{place}/{part.name}" if place else part.name,
            "class": part.class_name,
            "parameters": part.parameters,
            "bytes": part.stored,
            "licence": part.licence,
            **({"note": part.note} if part.note else {}),
        }
        for place, info in infos.items()
        for part in info.parts
    ]
    return {
        "genllava": __version__,
        "python": platform.python_version(),
        "libraries": {name: metadata.version(name) for name in LIBRARIES},
        "devices": _devices(),
        "model": ", ".join(str(info.folder) for info in infos.values()),
        "parts": parts,
        "memory": {name: sum(info.bytes[name] for info in infos.values()) for name in ("auto", *PRECISIONS)},
    }


def table(report: dict[str, Any]) -> str:
    """`describe`'s answer for people."""
    libraries = ", ".join(f"{name} {version}" for name, version in report["libraries"].items())
    rows = [(row["part"], row["class"], *_sizes(row), row["licence"]) for row in report["parts"]]
    total = {name: sum(part[name] for part in report["parts"]) for name in ("parameters", "bytes")}
    rows.append(("in all", "", *_sizes(total), ""))
    heads = ("part", "class", "parameters", "in files", "licence")
    widths = [max(len(row[column]) for row in (heads, *rows)) for column in range(len(heads))]
    lines = [
        f"genllava {report['genllava']}, Python {report['python']}, {libraries}",
        f"devices: {', '.join(report['devices'])}",
        f"model: {report['model']}",
    ]
    for row in (heads, *rows):
        cells = [f"{cell:{side}{width}}" for cell, side, width in zip(row, "<<>><", widths, strict=True)]
        lines.append(f"  {'  '.join(cells)}".rstrip())
    lines += [f"  {row['part']}: {row['note']}" for row in report["parts"] if "note" in row]
    sizes = ", ".join(f"{gigabytes(report['memory'][name])} in {name}" for name in PRECISIONS)
    return "\n".join([*lines, f"memory for the weights alone: {sizes}"])


def _sizes(row: dict[str, Any]) -> tuple[str, str]:
    count = row["parameters"]
    named = f"{count / 1e9:.2f} B" if count >= 1e9 else f"{count / 1e6:.2f} M"
    return (named, gigabytes(row["bytes"])) if count or row["bytes"] else ("", "")


def _devices() -> list[str]:
    import torch

    named = {f"cuda:{index}": torch.cuda.get_device_name(index) for index in range(torch.cuda.device_count())}
    if torch.backends.mps.is_available():
        named["mps"] = "Apple"
    named["cpu"] = f"{torch.get_num_threads()} threads"
    free = {device: free_memory(torch.device(device)) for device in named}
    return [
        f"{device} ({name}{'' if free[device] is None else f', {gigabytes(free[device] or 0)} free'})"
        for device, name in named.items()
    ]
