"""Whether a part found all its weights: what a file lacks, libraries fill with random numbers or leave unwritten."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import torch

from genllava.errors import CheckpointError

_LOGGERS: Final = ("transformers.modeling_utils", "diffusers.models.modeling_utils")


def check_weights(part: str, module: torch.nn.Module, folder: Path, *, variant: str | None = None) -> None:
    """See that the safetensors files in `folder` hold every tensor of `module`, by name and shape.

    The module's own class reads the headers of the files once more, without their data, and tells what it missed: it
    knows about shards, tied weights and names that have changed since. Parts that a user gave need no check. Tensors
    that the module has no use for are no fault: public checkpoints carry many. A checkpoint that was saved quantised
    holds other tensors than the module and is not checked.

    Args:
        part: what error messages call it.
        module: of transformers or diffusers, as it was loaded from `folder`.
        variant: of the files, such as "fp16", where there are files of it.

    Raises:
        CheckpointError: a tensor is missing or has another shape.
    """
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    if "quantization_config" in config:
        return
    there = variant is not None and any(f".{variant}." in file.name for file in folder.glob("*.safetensors"))
    kind: Any = type(module)
    with _quiet():
        _, found = kind.from_pretrained(
            folder,
            device_map="meta",
            variant=variant if there else None,
            use_safetensors=True,
            output_loading_info=True,
            ignore_mismatched_sizes=True,
        )
    missing, shapes = sorted(found["missing_keys"]), sorted(found["mismatched_keys"])
    remedy = "download or save it again, or give a part of your own by keyword"
    if missing:
        more = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
        raise CheckpointError(f"{part}: its files lack the weight {missing[0]}{more}; {remedy}")
    if shapes:
        name, saved, wanted = shapes[0]
        raise CheckpointError(f"{part}: {name} is {list(saved)} in its file and {list(wanted)} by its config; {remedy}")


@contextmanager
def _quiet() -> Iterator[None]:
    """Without the libraries' reports, which said the same when the part was loaded."""
    loggers = [logging.getLogger(name) for name in _LOGGERS]
    before = [logger.disabled for logger in loggers]
    for logger in loggers:
        logger.disabled = True
    try:
        yield
    finally:
        for logger, disabled in zip(loggers, before, strict=True):
            logger.disabled = disabled
