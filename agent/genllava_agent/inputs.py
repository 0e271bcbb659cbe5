"""Checks of what the caller typed. All run before any weights are read, so a mistake costs no wait."""

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
DTYPES: Final = ("auto", "float32", "bfloat16", "float16")
STDIN: Final = "-"
"""As the name of a picture: standard input."""


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
    """The picture in the file at `path`, or on standard input for "-", as RGB.

    Raises:
        ImageRejected: no such file, a URL, a folder, not a picture, or beyond our limits.
    """
    if path == STDIN:
        return _read_stdin()
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

    return _admitted(path, path)


def check_file(path: str) -> str:
    """`path` if it may name a file of a conversation, in which standard input is for requests.

    Raises:
        ImageRejected: it is "-".
    """
    if path == STDIN:
        raise ImageRejected("a chat reads requests from standard input, and no pictures: give the name of a file")
    return path


def _read_stdin() -> Image.Image:
    if sys.stdin is None or sys.stdin.isatty():
        raise ImageRejected("there is no picture on standard input: pipe one in, or give the name of a file")

    return _admitted(sys.stdin.buffer, "standard input")


def _admitted(source: str | BinaryIO, named: str) -> Image.Image:
    from genllava.images import load_image

    try:
        with warnings.catch_warnings():  # Pillow warns of metadata that it cannot read
            warnings.simplefilter("ignore")
            return load_image(source)
    except ImageRejected as error:
        raise ImageRejected(f"{named}: {error}") from None


def check_model(model: str | None) -> str | None:
    """`model` if it can name one: a folder with a saved pipeline or vision-language model, or `owner/name` on the hub;
    None is the shipped one.

    Raises:
        CheckpointError: anything else.
    """
    return None if model is None else _check_source(model, "model", ("model_index.json", "config.json"))


def check_part(source: str, kind: str) -> str:
    """`source` if it can name a diffusers pipeline: a folder with one, or `owner/name` on the hub.

    Args:
        kind: "decoder" or "editor".

    Raises:
        CheckpointError: anything else.
    """
    return _check_source(source, kind, ("model_index.json",))


def _check_source(source: str, kind: str, files: tuple[str, ...]) -> str:
    try:
        if Path(source).is_dir():
            if not any((Path(source) / name).is_file() for name in files):
                raise CheckpointError(f"{source} is not a saved {kind}: it has no {' and no '.join(files)}")
            return source
    except (OSError, ValueError):
        pass
    if not _HUB_ID.fullmatch(source):
        raise CheckpointError(
            f"unknown {kind} {source!r}: give a folder made by save_pretrained, or owner/name on the hub"
        )
    return source


def check_device(device: str | None) -> str | None:
    """`device` if it is the name of one, or None; whether the machine has it is found out when torch is there.

    Raises:
        InvalidRequest: not a device name.
    """
    if device is not None and not _DEVICE.fullmatch(device):
        raise InvalidRequest(f"unknown device {device!r}: cpu, cuda, cuda:1, mps or xpu")
    return device


def check_dtype(dtype: str) -> str:
    """`dtype` if weights can be loaded as it.

    Raises:
        InvalidRequest: they cannot.
    """
    if dtype not in DTYPES:
        raise InvalidRequest(f"unknown dtype {dtype!r}: {', '.join(DTYPES)}")
    return dtype


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
