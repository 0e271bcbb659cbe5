"""The model of a command: chosen by what was typed and by the user's configuration file, and loaded.

The file is `config.toml` in the user's configuration folder (Linux: `~/.config/genllava/config.toml`), or what the
environment variable `GENLLAVA_CONFIG` names; empty, it stands for no file. For example:

    model = "Qwen/Qwen3-VL-4B-Instruct"
    decoder = "stabilityai/stable-diffusion-xl-base-1.0"
    dtype = "bfloat16"
"""

from __future__ import annotations

import json
import os
import sys
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from genllava.errors import CheckpointError, GenLlavaError, InvalidRequest
from genllava_agent.inputs import check_device, check_model

if TYPE_CHECKING:
    from genllava import GenLlavaPipeline

KEYS: Final = ("model", "decoder", "editor", "dtype", "device")
DTYPES: Final = ("auto", "float32", "bfloat16", "float16")
SHIPPED: Final = "shipped"
"""As `--model`: the model that comes with the package, whatever the configuration file says."""


def choose(typed: dict[str, str]) -> dict[str, Any]:
    """What was typed, by the names in `KEYS`, and what the configuration file says besides, checked: arguments of
    `load_pipeline`.

    A decoder and an editor belong to their model: where a model was typed, those of the file are left out.

    Raises:
        InvalidRequest: the file cannot be read or says what it cannot; an unknown device or dtype; a decoder without a
            model.
        CheckpointError: a name that no model can have, or a folder that holds none.
    """
    typed = {name: _checked(name, value) for name, value in typed.items()}
    path = config_file()
    said = {} if path is None else _read(path)
    if "model" in typed:
        said = {name: value for name, value in said.items() if name in ("dtype", "device")}
    chosen = said | typed
    if chosen.get("model") == SHIPPED:
        del chosen["model"]
    if "model" not in chosen and ("decoder" in chosen or "editor" in chosen):
        raise InvalidRequest(
            "a decoder or an editor needs a --model, the vision-language model that it draws for: the shipped model "
            "has its own"
        )
    return chosen


def config_file() -> Path | None:
    """The configuration file; None where there is none."""
    if named := os.environ.get("GENLLAVA_CONFIG"):
        if not Path(named).is_file():
            raise InvalidRequest(f"GENLLAVA_CONFIG names {named}, and there is no such file")
        return Path(named)
    from platformdirs import user_config_path

    path = user_config_path("genllava", appauthor=False) / "config.toml"
    return path if named is None and path.is_file() else None


def _read(path: Path) -> dict[str, str]:
    """What a configuration file says, by name; `~` in names of folders is this user's home."""
    import tomllib

    try:
        said = tomllib.loads(path.read_text(encoding="utf-8"))
        for name, value in said.items():
            if name not in KEYS:
                raise InvalidRequest(f"unknown key {name!r}: {', '.join(KEYS)}")
            if not isinstance(value, str) or not value.strip():
                raise InvalidRequest(f'{name} must be text in quotation marks, such as {name} = "..."')
        return {name: _checked(name, os.path.expanduser(value)) for name, value in said.items()}
    except OSError as error:
        raise InvalidRequest(f"cannot read {path}: {error.strerror or error}") from None
    except (InvalidRequest, CheckpointError) as error:
        raise InvalidRequest(f"{path}: {error}") from None
    except ValueError as error:
        raise InvalidRequest(f"{path} is no TOML file: {error}") from None


def _checked(name: str, value: str) -> str:
    if name == "dtype" and value not in DTYPES:
        raise InvalidRequest(f"unknown dtype {value!r}: {', '.join(DTYPES)}")
    if name == "device":
        check_device(value)
    elif name != "dtype" and (name, value) != ("model", SHIPPED):
        check_model(value, name)
    return value


def load_pipeline(
    model: str | None = None,
    device: str | None = None,
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
    from diffusers.utils import logging as diffusers_logging
    from transformers.utils import logging as transformers_logging

    from genllava import GenLlavaPipeline

    place = device or ("cuda" if torch.cuda.is_available() else "cpu")
    try:
        torch.empty(0, device=place)
    except (RuntimeError, AssertionError, NotImplementedError):
        raise InvalidRequest(f"this machine has no usable device {place!r}") from None
    if dtype is None and torch.device(place).type == "cpu":
        dtype = "float32"
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
    from genllava.checkpoints import find_index

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
