"""Saved pipelines: which files may be read, and whether the parts in them fit together."""

from __future__ import annotations

import json
import math
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import torch

from genllava.errors import CheckpointError, GenLlavaError

if TYPE_CHECKING:
    from genllava.pipeline_genllava import GenLlavaPipeline

SHIPPED: Final = Path(__file__).parent / "shipped"
"""The model that comes with this package."""

_PICKLES: Final = (".bin", ".pt", ".pth", ".ckpt", ".pkl", ".pickle", ".msgpack", ".h5")
_LIBRARIES: Final = ("transformers", "diffusers", "genllava")
_DOWNLOAD_OPTIONS: Final = ("cache_dir", "force_download", "local_files_only", "token", "revision", "variant")
_ALIGNMENT: Final = 64
"""Bytes; what PyTorch allocates begins at multiples of this."""
NULL_TOLERANCE: Final = 0.05
"""Relative error of the stored null conditioning; rounding to half precision stays below it."""


def resolve(pipeline_class: Any, path: str | PathLike[str] | None, options: dict[str, Any]) -> Path:
    """The folder of a saved pipeline, downloaded if it is a hub id, checked to be safe to read.

    Args:
        options: keyword arguments of `from_pretrained`.

    Raises:
        CheckpointError: there is no such model, or it holds what we do not read.
    """
    folder = SHIPPED if path is None else Path(path)
    if not folder.is_dir():
        if path is None:
            raise CheckpointError("this installation has no shipped model")
        if folder.is_absolute() or len(folder.parts) != 2:
            raise CheckpointError(f"there is no model folder {path}")
        known = {name: options[name] for name in _DOWNLOAD_OPTIONS if name in options}
        with reading(folder):
            folder = Path(pipeline_class.download(str(path), use_safetensors=True, **known))
    _check_folder(folder)
    return folder


@contextmanager
def reading(folder: Path) -> Iterator[None]:
    """Turns what the libraries raise about unreadable files into `CheckpointError`."""
    try:
        yield
    except GenLlavaError:
        raise
    except Exception as error:  # a dozen unrelated types, from JSON to safetensors
        lines = str(error).strip().splitlines()
        raise CheckpointError(f"cannot read {folder}: {lines[0] if lines else type(error).__name__}") from error


def _check_folder(folder: Path) -> None:
    index = folder / "model_index.json"
    if not index.is_file():
        raise CheckpointError(f"{folder} is not a saved pipeline: it has no model_index.json")
    with reading(folder):
        parts = dict(json.loads(index.read_text(encoding="utf-8")))
    for name, value in parts.items():
        if name.startswith("_") or not isinstance(value, list) or len(value) != 2 or value[0] is None:
            continue
        if str(value[0]).split(".")[0] not in _LIBRARIES:
            raise CheckpointError(f"{folder}: {name} would be loaded from {value[0]}, which is not allowed")
        for path in sorted((folder / name).glob("*")):
            if path.suffix in (*_PICKLES, ".py"):
                raise CheckpointError(f"{folder}: {name}/{path.name} is not a safetensors file, and is not read")


def check_weights(pipeline: GenLlavaPipeline, folder: Path) -> None:
    """See that every part found all its weights: what a file lacks, transformers fills with random numbers.

    Raises:
        CheckpointError: a file holds fewer numbers than the part that was loaded from it.
    """
    for name, part in pipeline.components.items():
        files = sorted((folder / name).glob("*.safetensors"))
        if not isinstance(part, torch.nn.Module) or not files:
            continue
        wanted = {tensor.data_ptr(): tensor.numel() for tensor in part.parameters()}  # tied ones count once
        if sum(map(_numbers_in, files)) < sum(wanted.values()):
            raise CheckpointError(f"{folder}: weights of {name} are missing")


def align_weights(pipeline: GenLlavaPipeline) -> None:
    """Move weights that are mapped from a file to where memory is aligned.

    A file has them anywhere, and for them some processors take other kernels, whose results differ in the last bits:
    the model that was saved and the one that is loaded would not give the same numbers.
    """
    for part in pipeline.components.values():
        if isinstance(part, torch.nn.Module):
            for tensor in (*part.parameters(), *part.buffers()):
                if tensor.device.type == "cpu" and tensor.data_ptr() % _ALIGNMENT:
                    tensor.data = tensor.data.clone()


def _numbers_in(path: Path) -> int:
    """How many numbers a safetensors file holds, from its header."""
    with path.open("rb") as file:
        (length,) = struct.unpack("<Q", file.read(8))
        header = json.loads(file.read(length))
    return sum(math.prod(entry["shape"]) for name, entry in header.items() if name != "__metadata__")


def check_null_embeds(pipeline: GenLlavaPipeline) -> None:
    """See that the stored null conditioning is what the weights make of an empty request.

    A stale one, from before further training, would spoil guidance without any error.

    Raises:
        CheckpointError: it is not.
    """
    if pipeline.generation_head is None:
        return
    fresh, stored = pipeline.null_embeds().float(), pipeline.generation_head.null_embeds.float()
    if not bool((fresh - stored).norm() <= NULL_TOLERANCE * fresh.norm()):
        raise CheckpointError("the null conditioning is stale: call refresh_null_embeds() and save again")
