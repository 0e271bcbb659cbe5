"""Files that a user names: what cannot be read (`ImageRejected`) or written (`InvalidRequest`) is refused before the
work starts, and files are written whole or not at all."""

from __future__ import annotations

import os
import secrets
import shutil
import stat
import sys
import warnings
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Final

from genllava.errors import ImageRejected, InvalidRequest

if TYPE_CHECKING:
    from PIL import Image

FORMATS: Final = {".png": "PNG", ".jpg": "JPEG", ".jpeg": "JPEG", ".webp": "WEBP"}
"""File ending to Pillow's name of the format."""


def read_picture(path: str, from_stdin: bool = True, transparency: bool = False) -> Image.Image:
    """The picture in the file at `path`, as RGB; that on standard input for "-", unless requests come from there.

    Args:
        transparency: keep it, as RGBA, where the picture has some.
    """
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

    if transparency:
        from genllava_tools.picture_files import load_layer as load
    else:
        from genllava.images import load_image as load

    try:
        with warnings.catch_warnings(action="ignore"):  # Pillow warns of metadata that it cannot read
            return load(source)
    except ImageRejected as error:
        raise ImageRejected(f"{path}: {error}") from None


def check_output(path: Path) -> Path:
    """What `path` is or links to, once it is known that a file can be written there."""
    reason = None
    try:
        target = path.resolve()
        if target.is_dir():
            reason = "it is a folder"
        elif target.exists() and not target.is_file():
            reason = "it is not a regular file"
        elif target.exists() and not os.access(target, os.W_OK):
            reason = "it is write-protected"
        elif not target.parent.is_dir():
            reason = f"there is no folder {path.parent}"
        else:
            probe = _beside(target)
            probe.touch(exist_ok=False)
            probe.unlink()
    except (OSError, ValueError, RuntimeError) as error:
        reason = str(getattr(error, "strerror", None) or error)
    if reason is not None:
        raise InvalidRequest(f"cannot write {path}: {reason}")
    return target


def check_picture_output(path: Path) -> Path:
    """`check_output` for pictures: the ending must name a format we write."""
    if path.suffix.lower() not in FORMATS:
        raise InvalidRequest(f"cannot write {path}: the name must end in {', '.join(FORMATS)}")
    return check_output(path)


def write_bytes(path: Path, data: bytes) -> None:
    """Replace `path` by a file with `data`: after a crash it holds the old bytes or the new ones."""
    temporary = _beside(path)
    try:
        try:
            with temporary.open("xb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            if path.exists():
                shutil.copymode(path, temporary)
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)
    except OSError as error:
        raise InvalidRequest(f"cannot write {path}: {error.strerror or error}") from None


def write_picture(path: Path, image: Image.Image) -> None:
    """Write `image` in the format that the ending of `path` names; see `write_bytes`."""
    buffer = BytesIO()
    image.save(buffer, format=FORMATS[path.suffix.lower()], quality=95)
    write_bytes(path, buffer.getvalue())


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


def _beside(path: Path) -> Path:
    """A new name in the same folder, for a rename within one file system; short, as `path` may be very long."""
    return path.with_name(f".{secrets.token_hex(8)}.part")
