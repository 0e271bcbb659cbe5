"""What commands write beside data sets: reports, plots and pages as files, and text of data on a terminal."""

from __future__ import annotations

import os
from pathlib import Path

from genllava.errors import InvalidRequest
from genllava_finetune.data.durable_files import whole_file
from genllava_finetune.data.errors import DataError


def check_output(path: Path | None) -> None:
    """See, before the work begins, that a file can be written there; None is no file.

    Raises:
        InvalidRequest: it cannot.
    """
    if path is None:
        return
    if path.is_dir():
        raise InvalidRequest(f"cannot write {path}: it is a folder")
    if not path.absolute().parent.is_dir():
        raise InvalidRequest(f"cannot write {path}: there is no folder {path.absolute().parent}")
    if not os.access(path if path.exists() else path.absolute().parent, os.W_OK):
        raise InvalidRequest(f"cannot write {path}: permission denied")


def write_output(path: Path, data: bytes) -> None:
    """Write a file whole or not at all.

    Raises:
        DataError: it cannot be written.
    """
    try:
        with whole_file(path) as file:
            file.write(data)
    except OSError as error:
        raise DataError(f"cannot write {path}: {error.strerror}") from None


def printable(text: str) -> str:
    """Text of data for one line of a terminal, without characters that steer it."""
    return "".join(letter if letter.isprintable() else "�" for letter in text)
