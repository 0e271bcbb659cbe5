"""Checks of what the caller typed. All run before any weights are read, so a mistake costs no wait.

What is wrong is an `InvalidRequest`; with a picture it is an `ImageRejected`, with a model a `CheckpointError`.
"""

from __future__ import annotations

import re
import stat
import sys
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Final

from genllava.errors import CheckpointError, ImageRejected, InvalidRequest

if TYPE_CHECKING:
    from PIL import Image

LONGEST_REQUEST: Final = 2000
"""Characters of a prompt, question or instruction."""
_HUB_ID: Final = re.compile(r"[\w.-]+/[\w.-]+")
_DEVICE: Final = re.compile(r"(cpu|mps|cuda|xpu)(:\d+)?")


def check_request(text: str, kind: str) -> None:
    """See that `text`, a "prompt", "question" or "instruction", is not empty, not too long, and valid Unicode."""
    if not text.strip():
        raise InvalidRequest(f"the {kind} is empty")
    if len(text) > LONGEST_REQUEST:
        raise InvalidRequest(f"the {kind} has {len(text):,} characters; at most {LONGEST_REQUEST:,} are allowed")
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        raise InvalidRequest(f"the {kind} is not valid UTF-8") from None


def read_picture(path: str, from_stdin: bool = True) -> Image.Image:
    """The picture in the file at `path`, as RGB; that on standard input for "-", unless requests come from there."""
    source: str | BinaryIO = path
    if path == "-":
        if not from_stdin:
            raise ImageRejected("a chat reads requests from standard input, and no pictures: give the name of a file")
        if sys.stdin is None or sys.stdin.isatty():
            raise ImageRejected("there is no picture on standard input: pipe one in, or give the name of a file")
        source, path = sys.stdin.buffer, "standard input"
    elif "://" in path:
        raise ImageRejected(f"{path} is a URL: download the picture and give its path")
    else:
        try:
            mode = Path(path).stat().st_mode
        except (OSError, ValueError) as error:
            raise ImageRejected(f"cannot read {path}: {getattr(error, 'strerror', None) or error}") from None
        if not stat.S_ISREG(mode):
            what = "a folder, not a picture" if stat.S_ISDIR(mode) else "not a regular file"
            raise ImageRejected(f"{path} is {what}")

    from genllava.images import load_image

    try:
        with warnings.catch_warnings(action="ignore"):  # Pillow warns of metadata that it cannot read
            return load_image(source)
    except ImageRejected as error:
        raise ImageRejected(f"{path}: {error}") from None


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


def check_store(place: str | None) -> None:
    """See that threads may be kept at `place`: None (this user's data folder), a folder, or what no file is."""
    if place is not None and not place.strip():
        raise InvalidRequest("the name of the folder for threads is empty")
    try:
        folder = None if place is None else Path(place).expanduser()
        if folder is not None and folder.exists() and not folder.is_dir():
            raise OSError("it is not a folder")
    except (OSError, ValueError, RuntimeError) as error:
        raise InvalidRequest(f"cannot keep threads in {place}: {error}") from None
