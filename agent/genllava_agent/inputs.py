"""Checks of what the caller typed. All run before any weights are read, so a mistake costs no wait."""

from __future__ import annotations

import re
import stat
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Final

from genllava.errors import CheckpointError, ImageRejected, InvalidRequest

if TYPE_CHECKING:
    from PIL import Image

LONGEST_REQUEST: Final = 2000
"""Characters of a prompt, question or instruction."""

_HUB_ID: Final = re.compile(r"[\w.-]+/[\w.-]+")
_DEVICE: Final = re.compile(r"(cpu|mps|cuda|xpu)(:\d+)?")


def check_request(text: str, kind: str) -> str:
    """`text` as it is, if the model can be asked it.

    Args:
        kind: what to call it in the message: "prompt", "question" or "instruction".

    Raises:
        InvalidRequest: empty, too long, or not valid Unicode.
    """
    if not text.strip():
        raise InvalidRequest(f"the {kind} is empty")
    if len(text) > LONGEST_REQUEST:
        raise InvalidRequest(f"the {kind} has {len(text):,} characters; at most {LONGEST_REQUEST:,} are allowed")
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        raise InvalidRequest(f"the {kind} is not valid UTF-8") from None
    return text


def read_picture(path: str) -> Image.Image:
    """The picture in the file at `path`, as RGB.

    Raises:
        ImageRejected: no such file, a URL, a folder, not a picture, or beyond our limits.
    """
    if "://" in path:
        raise ImageRejected(f"{path} is a URL: download the picture and give its path")
    try:
        mode = Path(path).stat().st_mode
    except (OSError, ValueError) as error:
        raise ImageRejected(f"cannot read {path}: {_why(error)}") from None
    if stat.S_ISDIR(mode):
        raise ImageRejected(f"{path} is a folder, not a picture")
    if not stat.S_ISREG(mode):
        raise ImageRejected(f"{path} is not a regular file")

    from genllava.images import load_image

    try:
        with warnings.catch_warnings():  # Pillow warns of sizes that are refused right after
            warnings.simplefilter("ignore")
            return load_image(path)
    except ImageRejected as error:
        raise ImageRejected(f"{path}: {error}") from None
    except OSError as error:
        raise ImageRejected(f"cannot read {path}: {_why(error)}") from None


def check_model(model: str | None) -> str | None:
    """`model` if it can name one: None (the shipped one), a saved folder, or `owner/name` on the hub.

    Raises:
        CheckpointError: anything else.
    """
    if model is None:
        return None
    try:
        if Path(model).is_dir():
            if not (Path(model) / "model_index.json").is_file():
                raise CheckpointError(f"{model} is not a saved model: it has no model_index.json")
            return model
    except (OSError, ValueError):
        pass
    if not _HUB_ID.fullmatch(model):
        raise CheckpointError(
            f"unknown model {model!r}: give a folder made by save_pretrained, or owner/name on the hub"
        )
    return model


def check_device(device: str | None) -> str | None:
    """`device` if it is the name of one; whether the machine has it is found out when torch is there.

    Raises:
        InvalidRequest: not a device name.
    """
    if device is not None and not _DEVICE.fullmatch(device):
        raise InvalidRequest(f"unknown device {device!r}: cpu, cuda, cuda:1, mps or xpu")
    return device


def check_thread(name: str | None) -> str | None:
    """`name` if a thread may have it; None is a new thread.

    Raises:
        InvalidRequest: empty.
    """
    if name is not None and not name.strip():
        raise InvalidRequest("the name of the thread is empty")
    return name


def check_store(place: str | None) -> str | None:
    """`place` if threads may be kept there: None (this user's data folder), a folder, or what no file is.

    Raises:
        InvalidRequest: empty, or a file.
    """
    if place is None:
        return None
    if not place.strip():
        raise InvalidRequest("the name of the folder for threads is empty")
    try:
        there = Path(place).expanduser()
        if there.exists() and not there.is_dir():
            raise InvalidRequest(f"cannot keep threads in {place}: it is not a folder")
    except (OSError, ValueError, RuntimeError) as error:
        raise InvalidRequest(f"cannot keep threads in {place}: {error}") from None
    return place


def _why(error: OSError | ValueError) -> str:
    return (error.strerror if isinstance(error, OSError) else None) or str(error)
