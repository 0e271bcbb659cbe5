"""Paths of pictures that stand in data: only files below the folder of the pictures are ever opened."""

from __future__ import annotations

from pathlib import Path, PurePosixPath, PureWindowsPath

from genllava_finetune.data.errors import RowError


def picture_path(root: Path, name: object) -> Path:
    """The file of a picture that a record names.

    Args:
        root: the folder that names are relative to.
        name: as the record has it, with `/` between folders.

    Raises:
        RowError: it is no name, is absolute, leads out of the folder (by `..` or a link), or there is no such file.
    """
    if not isinstance(name, str) or not name.strip() or "\0" in name:
        raise RowError(f"the picture has no file name: {name!r:.80}")
    path = PurePosixPath(name)
    if path.is_absolute() or PureWindowsPath(name).drive or name.startswith("\\"):
        raise RowError(f"the picture's path is absolute: {name:.200}")
    if ".." in path.parts:
        raise RowError(f"the picture's path has '..' in it: {name:.200}")
    try:
        found = (root / path).resolve(strict=True)
    except (OSError, RuntimeError):  # RuntimeError: a link that leads to itself
        raise RowError(f"there is no picture file: {name:.200} in {root}") from None
    if not found.is_relative_to(root.resolve()):
        raise RowError(f"the picture is a link out of its folder: {name:.200}")
    if not found.is_file():
        raise RowError(f"the picture is no file: {name:.200}")
    return found
