"""Load the model for one command: quietly, on the device asked for, and with errors a person can act on."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from genllava.errors import CheckpointError, GenLlavaError, InvalidRequest

if TYPE_CHECKING:
    from genllava import GenLlavaPipeline


def load_pipeline(model: str | None, device: str | None, quiet: bool = True) -> GenLlavaPipeline:
    """The pipeline of `model` (None: the shipped one) on `device` (None: a GPU where there is one).

    Args:
        quiet: keep libraries and warnings silent, for good: for commands, and not inside of other programs.

    Raises:
        CheckpointError: there is no such model, or it cannot be read.
        InvalidRequest: this machine has no such device.
    """
    if quiet:
        _quiet()
    import torch

    from genllava import GenLlavaPipeline

    place = device or ("cuda" if torch.cuda.is_available() else "cpu")
    try:
        torch.empty(0, device=place)
    except (RuntimeError, AssertionError, NotImplementedError):
        raise InvalidRequest(f"this machine has no usable device {place!r}") from None
    try:
        with _no_bars():
            pipeline = GenLlavaPipeline.from_pretrained(model)
    except GenLlavaError:
        raise
    except (OSError, ValueError, KeyError) as error:
        reason = str(error).strip().splitlines()
        raise CheckpointError(
            f"cannot load model {model!r}: {reason[0] if reason else type(error).__name__}"
        ) from error
    pipeline.to(place)
    return pipeline


@contextmanager
def _no_bars() -> Iterator[None]:
    """Without the libraries' progress bars, which say nothing about a model of this size."""
    from diffusers.utils import logging as diffusers_logging
    from transformers.utils import logging as transformers_logging

    shown = [library for library in (diffusers_logging, transformers_logging) if library.is_progress_bar_enabled()]
    for library in shown:
        library.disable_progress_bar()
    try:
        yield
    finally:
        for library in shown:
            library.enable_progress_bar()


def _quiet() -> None:
    """Keep the libraries' own bars, notices and warnings out of what the command prints."""
    if not sys.warnoptions:
        warnings.simplefilter("ignore")
    from diffusers.utils import logging as diffusers_logging
    from transformers.utils import logging as transformers_logging

    for library in (diffusers_logging, transformers_logging):
        library.set_verbosity_error()
        library.disable_progress_bar()
