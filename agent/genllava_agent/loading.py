"""Load the model for one command: quietly, on the device asked for, and with errors a person can act on."""

from __future__ import annotations

import json
import sys
import warnings
from typing import TYPE_CHECKING

from genllava.checkpoints import find_index
from genllava.errors import CheckpointError, GenLlavaError, InvalidRequest

if TYPE_CHECKING:
    from genllava import GenLlavaPipeline


def load_pipeline(
    model: str | None,
    device: str | None,
    quiet: bool = True,
    *,
    decoder: str | None = None,
    editor: str | None = None,
    dtype: str | None = None,
) -> GenLlavaPipeline:
    """The pipeline of `model` on `device` (None: a GPU where there is one).

    Args:
        model: a saved pipeline, or a vision-language model, which is then put together with `decoder` and `editor`, and
            without them only understands. None: the shipped one.
        quiet: keep libraries and warnings silent, for good: for commands, and not inside of other programs.
        decoder, editor: diffusers pipelines.
        dtype: of the weights. None: on a GPU as they were saved, on a CPU float32; the shipped model is always float32.

    Raises:
        CheckpointError: there is no such model, or it cannot be read.
        NotEnoughMemory: it does not fit.
        InvalidRequest: this machine has no such device; or a decoder for a model that has its own.
    """
    if quiet:
        keep_quiet()
    import torch

    place = device or ("cuda" if torch.cuda.is_available() else "cpu")
    try:
        torch.empty(0, device=place)
    except (RuntimeError, AssertionError, NotImplementedError):
        raise InvalidRequest(f"this machine has no usable device {place!r}") from None
    if dtype is None and torch.device(place).type == "cpu":
        dtype = "float32"
    from diffusers.utils import logging as diffusers_logging
    from transformers.utils import logging as transformers_logging

    from genllava import GenLlavaPipeline

    # Without the libraries' progress bars, which say nothing about a model of this size.
    shown = [library for library in (diffusers_logging, transformers_logging) if library.is_progress_bar_enabled()]
    for library in shown:
        library.disable_progress_bar()
    try:
        if model is not None and not _is_saved_pipeline(model):
            return GenLlavaPipeline.assemble(model, decoder, editor, torch_dtype=dtype or "auto", device=place)
        if decoder is not None or editor is not None:
            raise InvalidRequest(
                f"{model or 'the shipped model'} has a decoder of its own: leave out --decoder and --editor, or give a "
                "vision-language model as --model"
            )
        return GenLlavaPipeline.from_pretrained(model, torch_dtype=dtype, device=place)
    except GenLlavaError:
        raise
    except (OSError, ValueError, KeyError) as error:
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise CheckpointError(f"cannot load model {model!r}: {reason}") from error
    finally:
        for library in shown:
            library.enable_progress_bar()


def _is_saved_pipeline(model: str) -> bool:
    """Whether a folder or hub id holds a `GenLlavaPipeline`, and not a model of another kind."""
    index = find_index(model, {})
    return index is not None and json.loads(index.read_text("utf-8")).get("_class_name") == "GenLlavaPipeline"


def keep_quiet() -> None:
    """Keep the libraries' own bars, notices and warnings out of what the command prints."""
    if not sys.warnoptions:
        warnings.simplefilter("ignore")
    from diffusers.utils import logging as diffusers_logging
    from transformers.utils import logging as transformers_logging

    for library in (diffusers_logging, transformers_logging):
        library.set_verbosity_error()
        library.disable_progress_bar()
