"""Files the command line writes: complete or not at all, and refused before the work starts."""

from __future__ import annotations

import os
import secrets
import stat
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

    Raises:
        InvalidRequest: a folder or a device, its folder missing, or not writable.
    """
    try:
        target = path.resolve()
        existing = target.stat().st_mode if target.exists() else None
    except (OSError, ValueError, RuntimeError) as error:
        raise InvalidRequest(f"cannot write {path}: {error}") from None
    if existing is not None and stat.S_ISDIR(existing):
        raise InvalidRequest(f"cannot write {path}: it is a folder")
    if existing is not None and not stat.S_ISREG(existing):
        raise InvalidRequest(f"cannot write {path}: it is not a regular file")
    if existing is not None and not os.access(target, os.W_OK):
        raise InvalidRequest(f"cannot write {path}: it is write-protected")
    if not target.parent.is_dir():
        raise InvalidRequest(f"cannot write {path}: there is no folder {path.parent}")
    probe = _beside(target)
    try:
        os.close(os.open(probe, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666))
        probe.unlink()
    except OSError as error:
        raise InvalidRequest(f"cannot write {path}: {error.strerror or error}") from None
    return target


def check_picture_output(path: Path) -> Path:
    """`check_output` for pictures: the ending must name a format we write.

    Raises:
        InvalidRequest: see `check_output`; or another ending.
    """
    if path.suffix.lower() not in FORMATS:
        raise InvalidRequest(f"cannot write {path}: the name must end in {', '.join(FORMATS)}")
    return check_output(path)


def check_other_file(target: Path, source: str) -> None:
    """See that writing `target` does not replace the picture that is worked from.

    Raises:
        InvalidRequest: it would.
    """
    if target.exists() and Path(source).exists() and target.samefile(source):
        raise InvalidRequest(f"the output would replace {source} itself: give another name, or --overwrite")


def write_bytes(path: Path, data: bytes) -> None:
    """Replace `path` by a file with `data`: after a crash it holds the old bytes or the new ones.

    Raises:
        InvalidRequest: the file system refused.
    """
    temporary = _beside(path)
    try:
        try:
            descriptor = os.open(temporary, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666)
            with os.fdopen(descriptor, "wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            if path.exists():
                temporary.chmod(stat.S_IMODE(path.stat().st_mode))
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)
    except OSError as error:
        raise InvalidRequest(f"cannot write {path}: {error.strerror or error}") from None


def write_picture(path: Path, image: Image.Image) -> None:
    """Write `image` in the format that the ending of `path` names; see `write_bytes`."""
    from io import BytesIO

    buffer = BytesIO()
    image.save(buffer, format=FORMATS[path.suffix.lower()], quality=95)
    write_bytes(path, buffer.getvalue())


def _beside(path: Path) -> Path:
    # In the same folder, so that the final rename stays within one file system. The name does not grow with
    # the target's, which may already be as long as the file system allows.
    return path.with_name(f".{secrets.token_hex(8)}.part")
