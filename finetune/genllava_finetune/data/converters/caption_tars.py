"""Pictures with captions in WebDataset tars, read from front to back."""

from __future__ import annotations

import json
import tarfile
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, Final

from genllava.images import MAX_BYTES
from genllava_finetune.data.errors import DataError, RowError
from genllava_finetune.data.records import Origin, Rejected

_PICTURES: Final = ("jpg", "jpeg", "png", "webp")
_CAPTIONS: Final = ("txt", "caption", "json")

Files = dict[str, bytes | str]
"""The files of a sample by suffix, or why one cannot be read."""


def tar_captions(location: Path) -> Iterator[tuple[Origin, Callable[[], tuple[Any, Any, str]] | Rejected, str]]:
    """For each sample: its origin; a function that gives picture, caption and id or raises `RowError`; and its id.

    Args:
        location: a tar, or a folder with tars.

    Raises:
        DataError: there is none.
    """
    files = sorted(location.glob("*.tar")) if location.is_dir() else [location]
    if not files or not all(file.is_file() for file in files):
        raise DataError(f"there is no tar {location}" if files else f"there is no tar in {location}")
    for file in files:
        number = 0
        for number, (key, sample) in enumerate(_samples(file), start=1):
            origin, id = Origin(str(file), number), f"{file.stem}/{key}"
            if isinstance(sample, Rejected):
                yield origin, sample, id if key else ""
            else:
                yield origin, partial(_pair, sample, id), id


def _samples(file: Path) -> Iterator[tuple[str, Files | Rejected]]:
    """Key and files of each sample: what WebDataset takes for one, files in a row that differ in their suffix only."""
    key, sample = "", Files()
    try:
        with tarfile.open(file, "r|*") as tar:
            for member in tar:
                if member.isdir():
                    continue
                folder, slash, name = member.name.rpartition("/")
                stem, _, suffix = name.partition(".")
                if folder + slash + stem != key:
                    if sample:
                        yield key, sample
                    key, sample = folder + slash + stem, Files()
                if suffix.lower() in _PICTURES + _CAPTIONS:
                    sample[suffix.lower()] = _content(tar, member)
    except (tarfile.TarError, OSError, EOFError) as error:
        if any(suffix in sample for suffix in _PICTURES) and any(suffix in sample for suffix in _CAPTIONS):
            yield key, sample
            key = ""
        yield key, Rejected(f"the tar is damaged, and nothing is read of it from here on: {error!s:.200}")
        return
    if sample:
        yield key, sample


def _content(tar: tarfile.TarFile, member: tarfile.TarInfo) -> bytes | str:
    if not member.isreg():
        return f"a member of the tar is no file: {member.name}"
    if member.size > MAX_BYTES:
        return f"a member of the tar has more than {MAX_BYTES} bytes: {member.name}"
    file = tar.extractfile(member)
    return b"" if file is None else file.read()


def _pair(sample: Files, id: str) -> tuple[Any, Any, str]:
    picture = next((sample[suffix] for suffix in _PICTURES if suffix in sample), None)
    said = next(((suffix, sample[suffix]) for suffix in _CAPTIONS if suffix in sample), None)
    if picture is None:
        raise RowError(f"there is no picture beside the caption: {id}")
    if said is None:
        raise RowError(f"there is no caption beside the picture: {id}")
    suffix, caption = said
    for content in (picture, caption):
        if isinstance(content, str):
            raise RowError(content)
    try:
        text = caption.decode("utf-8-sig") if isinstance(caption, bytes) else caption
        found = json.loads(text) if suffix == "json" else text
    except (ValueError, RecursionError):
        raise RowError(f"the caption cannot be read: {id}.{suffix}") from None
    words = found.get("caption") if isinstance(found, dict) else found
    return picture, words if isinstance(words, str) else None, id
