"""The model of a command: chosen by what was typed and by the user's configuration file, and loaded.

The file is `config.toml` in the user's configuration folder (Linux: `~/.config/genllava/config.toml`), or what the
environment variable `GENLLAVA_CONFIG` names; empty, it stands for no file. A line of it: `model = "owner/name"`.
"""

from __future__ import annotations

import json
import os
import re
import sys
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from genllava.checkpoints import find_index
from genllava.errors import CheckpointError, GenLlavaError, InvalidRequest

if TYPE_CHECKING:
    from genllava import GenLlavaPipeline

OPTIONS: Final = {
    "model": "folder or owner/name on the hub of a saved pipeline or a vision-language model; or shipped. "
    "Default: the configuration file's, else the shipped model",
    "decoder": "folder or owner/name of a diffusers pipeline that draws for --model",
    "editor": "the same of one that edits. Default: the decoder does, from image to image",
    "dtype": "of the weights: auto (as saved), float32, bfloat16, float16. Default: auto on a GPU, else float32; "
    "the shipped model is float32",
    "device": "cpu, cuda, cuda:1, mps, xpu. Default: a GPU where there is one",
}
"""What a command line may say of the model, with its help."""
KEYS: Final = tuple(OPTIONS)
DTYPES: Final = ("auto", "float32", "bfloat16", "float16")
SHIPPED: Final = "shipped"
"""As `--model`: the model that comes with the package, whatever the configuration file says."""
_HUB_ID: Final = re.compile(r"[\w.-]+/[\w.-]+")
_DEVICE: Final = re.compile(r"(cpu|mps|cuda|xpu)(:\d+)?")


def choose(typed: dict[str, str]) -> dict[str, Any]:
    """Arguments of `load_pipeline`: those that were typed, and what the configuration file says besides, checked.

    A decoder and an editor belong to their model: where a model was typed, those of the file are left out.
    """
    typed = {name: _checked(name, value) for name, value in typed.items()}
    said = _configured()
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


def _configured() -> dict[str, str]:
    """What the configuration file says, by name; `~` in names of folders is this user's home."""
    import tomllib

    from platformdirs import user_config_path

    named = os.environ.get("GENLLAVA_CONFIG")
    path = Path(named) if named else user_config_path("genllava", appauthor=False) / "config.toml"
    if not path.is_file() and named:
        raise InvalidRequest(f"GENLLAVA_CONFIG names {named}, and there is no such file")
    if not path.is_file() or named == "":
        return {}
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


def check_model(model: str | None, kind: str = "model") -> str | None:
    """`model` if it can name one, or None: a folder that one was saved in, or `owner/name` on the hub.

    Args:
        kind: "model": a pipeline of ours, or a vision-language model; "decoder" or "editor": a diffusers pipeline.
    """
    if model is None:
        return None
    files = ("model_index.json", "config.json") if kind == "model" else ("model_index.json",)
    try:
        is_folder = Path(model).is_dir()
    except (OSError, ValueError):  # a name that no file can have
        is_folder = False
    if is_folder and not any((Path(model) / name).is_file() for name in files):
        raise CheckpointError(f"{model} is not a saved {kind}: it has no {' and no '.join(files)}")
    if not is_folder and not _HUB_ID.fullmatch(model):
        says = "give a folder made by save_pretrained, or owner/name on the hub"
        raise CheckpointError(f"unknown {kind} {model!r}: {says}")
    return model


def check_device(device: str | None) -> str | None:
    """`device` if it is the name of one, or None; whether the machine has it is found out when torch is there."""
    if device is not None and not _DEVICE.fullmatch(device):
        raise InvalidRequest(f"unknown device {device!r}: cpu, cuda, cuda:1, mps or xpu")
    return device


def public_name(model: str | None) -> str:
    """What clients of a server call a model (None: the shipped one): its name on the hub, or that of its folder, and
    never where that is."""
    if model is None:
        return "genllava"
    return Path(model).resolve().name if Path(model).is_dir() else model


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
        model: a saved pipeline (None: the shipped one), or a vision-language model, which is then put together with
            `decoder` and `editor`, diffusers pipelines, and without them only understands.
        quiet: keep libraries and warnings silent, for good: for commands, and not inside of other programs.
        dtype: of the weights. None: on a GPU as they were saved, on a CPU float32; the shipped model is always float32.

    Raises:
        CheckpointError, NotEnoughMemory: there is no such model, it cannot be read, or it does not fit.
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
        index = None if model is None else find_index(model, {})
        is_ours = index is not None and json.loads(index.read_text("utf-8")).get("_class_name") == "GenLlavaPipeline"
        if model is not None and not is_ours:
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


def keep_quiet() -> None:
    """Keep the libraries' own bars, notices and warnings out of what the command prints."""
    if not sys.warnoptions:
        warnings.simplefilter("ignore")
    from diffusers.utils import logging as diffusers_logging
    from transformers.utils import logging as transformers_logging

    for library in (diffusers_logging, transformers_logging):
        library.set_verbosity_error()
        library.disable_progress_bar()
