"""Whether a part finds all its weights: what a file lacks, libraries fill with random numbers or leave unwritten."""

from __future__ import annotations

import json
import logging
from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import torch
from accelerate import init_empty_weights
from diffusers.models.modeling_utils import ModelMixin
from safetensors import safe_open
from transformers.utils import logging as transformers_logging

from genllava.errors import CheckpointError

_LOGGERS: Final = ("transformers.modeling_utils", "diffusers.models.modeling_utils", "diffusers.configuration_utils")
_DTYPES: Final = {"F16": torch.float16, "BF16": torch.bfloat16, "F32": torch.float32}
_Found = tuple[Collection[str], Collection[tuple[str, Any, Any]]]
"""Names that are missing; names, saved shapes and wanted shapes of those that differ."""
_REMEDY: Final = "download or save it again, or give a part of your own by keyword"


def check_weights(
    part: str, module: torch.nn.Module | type[torch.nn.Module], folder: Path, *, variant: str | None = None
) -> None:
    """See that the safetensors files in `folder` hold every tensor of `module`, by name and shape.

    Only headers are read. Names that have changed since a checkpoint was made, and tied weights, are known to the
    libraries and allowed for. Tensors that the module has no use for are no fault: public checkpoints carry many. A
    checkpoint that was saved quantised holds other tensors than the module and is not checked.

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
    kind: Any = module if isinstance(module, type) else type(module)
    with _quiet():
        look = _look_at_diffusers if issubclass(kind, ModelMixin) else _look_at_transformers
        missing, shapes = look(kind, folder, variant if any(weight_files(folder, variant)) else None)
    if missing:
        more = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
        raise CheckpointError(f"{part}: its files lack the weight {min(missing)}{more}; {_REMEDY}")
    for name, saved, wanted in sorted(shapes):
        sizes = f"{list(saved)} in its file and {list(wanted)} by its config"
        raise CheckpointError(f"{part}: the weight {name} is {sizes}; {_REMEDY}")


def weight_files(folder: Path, variant: str | None) -> list[Path]:
    """The safetensors files of a variant, or those of none: `model.safetensors`, `model.fp16-00001-of-00002...`."""
    files = sorted(folder.glob("*.safetensors"))
    return [file for file in files if file.stem.partition(".")[2].split("-")[0] == (variant or "")]


def saved_dtype(files: Iterable[Path]) -> torch.dtype:
    """The precision of weights, from the header of the first file that has floating point numbers; else float32."""
    for file in files:
        with safe_open(file, framework="pt") as tensors:
            for name in tensors.keys():  # noqa: SIM118  (not a mapping)
                if dtype := _DTYPES.get(tensors.get_slice(name).get_dtype()):
                    return dtype
    return torch.float32


def _look_at_diffusers(kind: Any, folder: Path, variant: str | None) -> _Found:
    """By hand: `from_pretrained` believes the index of shards, and reads all the data."""
    saved: dict[str, Any] = {}
    for file in weight_files(folder, variant):
        if file.name.startswith("diffusion_pytorch_model"):
            with safe_open(file, framework="pt") as tensors:
                saved |= {name: tuple(tensors.get_slice(name).get_shape()) for name in tensors.keys()}  # noqa: SIM118
    with init_empty_weights():
        made = kind.from_config(kind.load_config(folder))
    made._fix_state_dict_keys_on_load(saved)  # names of attention before diffusers 0.15
    wanted = {name: tuple(tensor.shape) for name, tensor in made.state_dict().items()}
    shapes = [(name, saved[name], wanted[name]) for name in wanted.keys() & saved.keys() if saved[name] != wanted[name]]
    return wanted.keys() - saved.keys(), shapes


def _look_at_transformers(kind: Any, folder: Path, variant: str | None) -> _Found:
    """By its own loading, which knows how names changed; nothing is read for the device `meta`."""
    _, found = kind.from_pretrained(
        folder,
        device_map="meta",
        variant=variant,
        use_safetensors=True,
        output_loading_info=True,
        ignore_mismatched_sizes=True,
    )
    return found["missing_keys"], found["mismatched_keys"]


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
