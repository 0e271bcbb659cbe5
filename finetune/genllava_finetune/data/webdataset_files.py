"""Rows in WebDataset tars: `000000012.json` with what is said, and its pictures `000000012.0.jpg`, `000000012.1.png`.

Members have no time and no owner, so the same rows give the same bytes.
"""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Iterator
from io import RawIOBase
from itertools import groupby
from pathlib import Path
from typing import Any

from PIL import Image

from genllava_finetune.data.encoded_pictures import EncodedPicture
from genllava_finetune.data.errors import DataError, RowError
from genllava_finetune.data.stored_rows import StoredRow

_ENDINGS = {"JPEG": "jpg", "MPO": "jpg", "TIFF": "tif"}
"""File endings by Pillow's name of the format, where they are not that name."""


class TarShard:
    """Writes rows into one tar.

    Attributes:
        suffix: that the names of such files have.
    """

    suffix = ".tar"

    def __init__(self, file: RawIOBase) -> None:
        """Begin the file."""
        from webdataset import TarWriter

        self._writer = TarWriter(file, user="", group="", mode=0o644, encoder=False, mtime=0)

    def add(self, number: int, row: StoredRow) -> None:
        """Add the row that has this number in its data set."""
        names = [picture.name for picture in row.images]
        members: dict[str, Any] = {f"{i}.{_ending(picture)}": bytes(picture) for i, picture in enumerate(row.images)}
        members["json"] = json.dumps({**row.values, "images": names}, ensure_ascii=False).encode()
        self._writer.write({"__key__": f"{number:09d}", **members})

    def close(self) -> None:
        """Write the end of the file."""
        self._writer.close()


def read_tar(path: Path) -> Iterator[StoredRow | RowError]:
    """The rows of a tar, one in memory; a `RowError` in the place of one that is no row.

    Raises:
        DataError: the file is no tar, or is cut short.
    """
    last = "its beginning"
    try:
        with tarfile.open(path, "r|") as tar:
            for key, members in groupby(_members(tar), lambda member: member[0]):
                yield _row({name: data for _, name, data in members}, f"{path}: {key}")
                last = key
    except (tarfile.TarError, OSError, EOFError) as error:
        raise DataError(f"{path} cannot be read behind {last}: {error}") from None


def _members(tar: tarfile.TarFile) -> Iterator[tuple[str, str, bytes]]:
    """Key, name and content of the files in a tar, as WebDataset splits names: at the first dot behind the folders."""
    for member in tar:
        file = tar.extractfile(member) if member.isfile() else None
        if file is not None:
            folder, slash, name = member.name.rpartition("/")
            key, _, rest = name.partition(".")
            data = file.read()
            if len(data) != member.size:
                raise tarfile.ReadError("the file is cut short")
            yield folder + slash + key, rest, data


def _row(members: dict[str, bytes], place: str) -> StoredRow | RowError:
    try:
        values = json.loads(members.pop("json"))
        names = values.pop("images")
        data = [content for _, content in sorted(members.items(), key=lambda member: int(member[0].split(".")[0]))]
        images = tuple(EncodedPicture(content, name) for content, name in zip(data, names, strict=True))
    except RecursionError:
        return RowError(f"{place}: the JSON is nested too deeply")
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        return RowError(f"{place} is no row: {type(error).__name__}: {error}")
    return StoredRow(values, images)


def _ending(picture: bytes) -> str:
    with Image.open(io.BytesIO(picture)) as opened:
        name = opened.format or "img"
    return _ENDINGS.get(name, name.lower())
