"""Files that are written for the user: whole or not at all, and refused (`InvalidRequest`) before the work starts."""

from __future__ import annotations

import os
import secrets
import shutil
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Final

from genllava.errors import InvalidRequest

if TYPE_CHECKING:
    from PIL import Image

FORMATS: Final = {".png": "PNG", ".jpg": "JPEG", ".jpeg": "JPEG", ".webp": "WEBP"}
"""File ending to Pillow's name of the format."""


def check_output(path: Path) -> Path:
    """Where `path` leads, once it is known that a file can be written there.

    Links are followed, so that writing replaces what a link points at and not the link.
    """
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


def _beside(path: Path) -> Path:
    """A new name in the same folder, for a rename within one file system, and short: `path` may be as long as can be."""
    return path.with_name(f".{secrets.token_hex(8)}.part")
