"""What `genllava info` says: versions, devices, and what a model is made of, read from its files."""

from __future__ import annotations

import platform
from importlib import metadata
from typing import Any

from genllava.memory import free_memory, gigabytes
from genllava.model_info import PRECISIONS, model_info


def describe(model: str | None, decoder: str | None = None, editor: str | None = None) -> dict[str, Any]:
    """Versions, devices and the parts of `model` (None: the shipped one), and of what is put together with it.

    Raises:
        CheckpointError: a model is not on this machine, or its files cannot be read.
    """
    from genllava import __version__

    others = {"decoder/": decoder, "editor/": editor}
    infos = {"": model_info(model)} | {place: model_info(name) for place, name in others.items() if name is not None}
    parts = [
        {
            "part": place + part.name,
            "class": part.class_name,
            "parameters": part.parameters,
            "bytes": part.stored,
            "licence": part.licence,
            **({"note": part.note} if part.note else {}),
        }
        for place, info in infos.items()
        for part in info.parts
    ]
    libraries = ("torch", "transformers", "diffusers", "accelerate", "pillow")
    return {
        "genllava": __version__,
        "python": platform.python_version(),
        "libraries": {name: metadata.version(name) for name in libraries},
        "devices": _devices(),
        "model": ", ".join(str(info.folder) for info in infos.values()),
        "parts": parts,
        "memory": {name: sum(info.bytes[name] for info in infos.values()) for name in ("auto", *PRECISIONS)},
    }


def table(report: dict[str, Any]) -> str:
    """`describe`'s answer for people."""
    libraries = ", ".join(f"{name} {version}" for name, version in report["libraries"].items())
    total = {name: sum(part[name] for part in report["parts"]) for name in ("parameters", "bytes")}
    rows = [("part", "class", "parameters", "in files", "licence")]
    for part in [*report["parts"], {"part": "in all", "class": "", **total, "licence": ""}]:
        count, stored = part["parameters"], part["bytes"]
        named = f"{count / 1e9:.2f} B" if count >= 1e9 else f"{count / 1e6:.2f} M"
        sizes = (named, gigabytes(stored)) if count or stored else ("", "")
        rows.append((part["part"], part["class"], *sizes, part["licence"]))
    first, second, third, fourth, _ = (max(map(len, column)) for column in zip(*rows, strict=True))
    memory = ", ".join(f"{gigabytes(report['memory'][name])} in {name}" for name in PRECISIONS)
    lines = [
        f"genllava {report['genllava']}, Python {report['python']}, {libraries}",
        f"devices: {', '.join(report['devices'])}",
        f"model: {report['model']}",
        *(f"  {a:{first}}  {b:{second}}  {c:>{third}}  {d:>{fourth}}  {e}".rstrip() for a, b, c, d, e in rows),
        *(f"  {part['part']}: {part['note']}" for part in report["parts"] if "note" in part),
        f"memory for the weights alone: {memory}",
    ]
    return "\n".join(lines)


def _devices() -> list[str]:
    """The devices of this machine, each with its name and the memory that is free."""
    import torch

    named = {f"cuda:{index}": torch.cuda.get_device_name(index) for index in range(torch.cuda.device_count())}
    if torch.backends.mps.is_available():
        named["mps"] = "Apple"
    named["cpu"] = f"{torch.get_num_threads()} threads"
    told = []
    for device, name in named.items():
        free = free_memory(torch.device(device))
        told.append(f"{device} ({name})" if free is None else f"{device} ({name}, {gigabytes(free)} free)")
    return told
