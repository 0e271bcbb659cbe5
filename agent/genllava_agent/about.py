"""What `genllava info` says: versions, devices, and what a model is made of, read from its files."""

from __future__ import annotations

import json
import math
import platform
import struct
from importlib import metadata
from pathlib import Path
from typing import Any, Final

from genllava.errors import CheckpointError

LIBRARIES: Final = ("torch", "transformers", "diffusers", "accelerate", "pillow")


def describe(model: str | None) -> dict[str, Any]:
    """Versions, devices and the parts of `model` (None: the shipped one).

    Raises:
        CheckpointError: the model is not on this machine, or its files cannot be read.
    """
    from genllava import __version__

    folder = _folder(model)
    return {
        "genllava": __version__,
        "python": platform.python_version(),
        "libraries": {name: metadata.version(name) for name in LIBRARIES},
        "devices": _devices(),
        "model": str(folder),
        "parts": _parts(folder),
    }


def table(report: dict[str, Any]) -> str:
    """`describe`'s answer for people."""
    libraries = ", ".join(f"{name} {version}" for name, version in report["libraries"].items())
    lines = [
        f"genllava {report['genllava']}, Python {report['python']}, {libraries}",
        f"devices: {', '.join(report['devices'])}",
        f"model: {report['model']}",
    ]
    rows = [*report["parts"], _total(report["parts"])]
    width = max(len(row["part"]) for row in rows)
    kind = max(len(row["class"]) for row in rows)
    lines += [
        f"  {row['part']:<{width}}  {row['class']:<{kind}}  {row['parameters'] / 1e6:8.2f} M parameters"
        f"  {row['bytes'] / 1e6:8.2f} MB"
        for row in rows
    ]
    return "\n".join(lines)


def _total(parts: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        "part": "in all",
        "class": "",
        "parameters": sum(part["parameters"] for part in parts),
        "bytes": sum(part["bytes"] for part in parts),
    }


def _folder(model: str | None) -> Path:
    if model is None:
        from genllava.checkpoints import SHIPPED

        if not (SHIPPED / "model_index.json").is_file():
            raise CheckpointError("this installation has no shipped model")
        return SHIPPED
    if Path(model).is_dir():
        return Path(model)
    raise CheckpointError(f"{model} is not a folder on this machine; info reads only what is here")


def _devices() -> list[str]:
    import torch

    names = [f"cuda:{index} ({torch.cuda.get_device_name(index)})" for index in range(torch.cuda.device_count())]
    if torch.backends.mps.is_available():
        names.append("mps")
    return [*names, f"cpu ({torch.get_num_threads()} threads)"]


def _parts(folder: Path) -> list[dict[str, Any]]:
    try:
        index = json.loads((folder / "model_index.json").read_text(encoding="utf-8"))
        return [
            {"part": name, "class": value[1], **_weights(folder / name)}
            for name, value in sorted(index.items())
            if isinstance(value, list) and len(value) == 2 and value[1] is not None
        ]
    except (OSError, ValueError, KeyError, struct.error) as error:
        raise CheckpointError(f"cannot read {folder}: {error}") from None


def _weights(folder: Path) -> dict[str, int]:
    """Numbers and bytes in the safetensors files of `folder`, from their headers."""
    parameters = size = 0
    for path in sorted(folder.glob("*.safetensors")):
        with path.open("rb") as file:
            (length,) = struct.unpack("<Q", file.read(8))
            if length > path.stat().st_size:
                raise ValueError(f"{path.name} is not a safetensors file")
            header = json.loads(file.read(length))
        parameters += sum(math.prod(entry["shape"]) for name, entry in header.items() if name != "__metadata__")
        size += path.stat().st_size
    return {"parameters": parameters, "bytes": size}
