"""Whether a part finds all its weights: what a file lacks, libraries fill with random numbers or leave unwritten."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import torch
from safetensors import safe_open
from transformers.utils import logging as transformers_logging

from genllava.errors import CheckpointError

_LOGGERS: Final = ("transformers.modeling_utils", "diffusers.models.modeling_utils")
_REMEDY: Final = "download or save it again, or give a part of your own by keyword"


def check_weights(
    part: str, module: torch.nn.Module | type[torch.nn.Module], folder: Path, *, variant: str | None = None
) -> None:
    """See that the safetensors files in `folder` hold every tensor of `module`, by name and shape.

    The module's own class reads the headers of the files, without their data, and tells what it misses: it knows about
    tied weights and names that have changed since. Parts that a user gave need no check. Tensors that the module has no
    use for are no fault: public checkpoints carry many. A checkpoint that was saved quantised holds other tensors than
    the module and is not checked.

    Args:
        part: what error messages call it.
        module: of transformers or diffusers, before it is loaded from `folder` (its class) or after.
        variant: of the files, such as "fp16", where there are files of it.

    Raises:
        CheckpointError: a tensor is missing or has another shape.
    """
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    if "quantization_config" in config:
        return
    there = variant is not None and any(f".{variant}." in file.name for file in folder.glob("*.safetensors"))
    _check_shards(part, folder)
    kind: Any = module if isinstance(module, type) else type(module)
    with _quiet():
        _, found = kind.from_pretrained(
            folder,
            device_map="meta",
            variant=variant if there else None,
            use_safetensors=True,
            output_loading_info=True,
            ignore_mismatched_sizes=True,
        )
    _refuse_missing(part, found["missing_keys"])
    for name, saved, wanted in sorted(found["mismatched_keys"]):
        sizes = f"{list(saved)} in its file and {list(wanted)} by its config"
        raise CheckpointError(f"{part}: the weight {name} is {sizes}; {_REMEDY}")


def _check_shards(part: str, folder: Path) -> None:
    """Each shard holds what the index says of it; diffusers believes the index."""
    for index in folder.glob("*.safetensors.index*.json"):
        shards: dict[str, set[str]] = {}
        for name, shard in json.loads(index.read_text(encoding="utf-8"))["weight_map"].items():
            shards.setdefault(shard, set()).add(name)
        for shard, names in shards.items():
            if not (folder / shard).is_file():
                raise CheckpointError(f"{part}: its file {shard} is missing; {_REMEDY}")
            with safe_open(folder / shard, framework="pt") as tensors:
                _refuse_missing(part, names.difference(tensors.keys()))


def _refuse_missing(part: str, missing: set[str] | list[str]) -> None:
    if missing:
        more = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
        raise CheckpointError(f"{part}: its files lack the weight {min(missing)}{more}; {_REMEDY}")


@contextmanager
def _quiet() -> Iterator[None]:
    """Without the libraries' reports and progress bars: a part that is loaded as well has them once."""
    bars: Any = transformers_logging
    loggers = [logging.getLogger(name) for name in _LOGGERS]
    before, shown = [logger.disabled for logger in loggers], bars.is_progress_bar_enabled()
    try:
        for logger in loggers:
            logger.disabled = True
        bars.disable_progress_bar()
        yield
    finally:
        for logger, disabled in zip(loggers, before, strict=True):
            logger.disabled = disabled
        if shown:
            bars.enable_progress_bar()
