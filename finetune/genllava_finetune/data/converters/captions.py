"""Pictures with captions: COCO's annotations, tables of captions and files, and WebDataset tars.

Each of the three comes as two kinds. The first describes: the user shows the picture, and the assistant says the
caption. The other draws: the user asks with the caption, and the assistant draws the picture. What the user says
besides is one of a few sentences, the same one each time for a caption.
"""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any, TextIO
from zlib import crc32

from genllava_finetune.data.converters.caption_tars import tar_captions
from genllava_finetune.data.converters.json_records import json_objects
from genllava_finetune.data.converters.llava import picture_root, text_of, written_id
from genllava_finetune.data.errors import DataError, RowError
from genllava_finetune.data.picture_paths import picture_path
from genllava_finetune.data.records import Converter, Origin, Record, Rejected, Source
from genllava_finetune.data.rows import Row, read_row

_DESCRIBE = (
    "What does this picture show?",
    "Describe the picture in a sentence.",
    "Write a caption for this picture.",
    "Say briefly what is to be seen here.",
)
_DRAW = (
    "{}",
    "Draw this: {}",
    "I would like a picture. It should show the following: {}",
    "Make a picture of this: {}",
)
_LONGEST_HEAD = 1 << 20
_COLUMNS = (("caption", "title", "text"), ("image", "filepath", "file_name", "path"))

Pair = tuple[Any, Any, str]
"""Picture, caption and the id of the pair in its data set."""
Pairs = Iterator[tuple[Origin, Callable[[], Pair] | Rejected, str]]
"""For each record: its origin; a function that gives the pair or raises `RowError`; and its id, for a reject."""


def coco_pairs(source: Source) -> Pairs:
    """The captions of a COCO annotations file (`captions_train2017.json`), of which one is a record.

    The names of the pictures, of which there are five times fewer, are held in memory.
    """
    path, root = Path(source.location), picture_root(source)
    names = {
        value["id"]: value.get("file_name")
        for _, value in json_objects(path, "images")
        if isinstance(value, Mapping) and isinstance(value.get("id"), int | str)
    }

    def pair(annotation: Mapping[str, Any], id: str) -> Pair:
        image = annotation.get("image_id")
        if not isinstance(image, int | str) or image not in names:
            raise RowError(f"the caption's picture is not in the list of images: {image!r:.80}")
        return picture_path(root, names[image]), annotation.get("caption"), id

    for origin, value in json_objects(path, "annotations"):
        if isinstance(value, Rejected):
            yield origin, value, ""
        else:
            yield origin, partial(pair, value, id := written_id(value) or f"record-{origin.line}"), id


def table_pairs(source: Source) -> Pairs:
    """The lines of a table: caption and picture's file, separated by tabs or commas.

    A first line that names its columns (`caption`, `title` or `text`; `image`, `filepath`, `file_name` or `path`) says
    which they are, and that quotes are quotes. Without one, the table is as Conceptual Captions publishes its own: the
    caption first, tabs, and quotes are characters like any other.
    """
    path, root = Path(source.location), picture_root(source)
    with _open_table(path) as file:
        first = file.readline(_LONGEST_HEAD)
        separator = "\t" if "\t" in first else ","
        head = [name.strip().strip('"').lower() for name in first.split(separator)]
        columns = tuple(next((head.index(name) for name in names if name in head), -1) for names in _COLUMNS)
        named = min(columns) >= 0
        if not named:
            columns = (0, 1)
            file.seek(0)
        lines = csv.reader(file, delimiter=separator, quoting=csv.QUOTE_MINIMAL if named else csv.QUOTE_NONE)
        while True:
            try:
                cells = next(lines, None)
            except csv.Error as error:
                origin = Origin(str(path), lines.line_num + named)
                yield origin, Rejected(f"the line is no line of a table: {error}"), ""
                continue
            if cells is None:
                return
            line = lines.line_num + named
            if cells:
                yield Origin(str(path), line), partial(_table_pair, cells, columns, root, str(line)), str(line)


def _open_table(path: Path) -> TextIO:
    # bytes that are no UTF-8 become lone surrogates, which no row takes
    try:
        return path.open(encoding="utf-8-sig", errors="surrogateescape", newline="")
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}") from None


def _table_pair(cells: list[str], columns: tuple[int, ...], root: Path, id: str) -> Pair:
    if len(cells) <= max(columns):
        raise RowError(f"the line has too few columns: {len(cells)}")
    caption, name = (cells[column] for column in columns)
    if "://" in name:
        raise RowError(f"the picture is an address and no file (img2dataset downloads it): {name:.120}")
    return picture_path(root, name.strip()), caption, id


def tar_pairs(source: Source) -> Pairs:
    """The samples of WebDataset tars: a picture (`jpg`, `png`, `webp`) and a caption (`txt`, or `caption` in `json`).

    The location is a tar or a folder of tars.
    """
    return tar_captions(Path(source.location))


def _describing(caption: str, key: str) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    asks = _DESCRIBE[crc32(key.encode(errors="replace")) % len(_DESCRIBE)]
    return [{"type": "image"}, {"type": "text", "text": asks}], [{"type": "text", "text": caption}]


def _drawing(caption: str, key: str) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    asks = _DRAW[crc32(key.encode(errors="replace")) % len(_DRAW)].replace("{}", caption)
    return [{"type": "text", "text": asks}], [{"type": "draw", "prompt": caption}]


def _read(source: Source, name: str, license: str, pairs: Callable[[Source], Pairs], draws: bool) -> Iterator[Record]:
    for origin, pair, id in pairs(source):
        if isinstance(pair, Rejected):
            yield Record(origin, (pair,))
            continue
        try:
            yield Record(origin, (_row(name, license, pair, draws),))
        except RowError as error:
            yield Record(origin, (Rejected(str(error), id),))


def _row(name: str, license: str, pair: Callable[[], Pair], draws: bool) -> Row:
    picture, caption, id = pair()
    caption = text_of(caption, "the caption").strip()
    user, assistant = (_drawing if draws else _describing)(caption, id)
    messages = [{"role": "user", "content": user}, {"role": "assistant", "content": assistant}]
    return read_row(
        {"images": [picture], "messages": messages, "source": name, "license": license, "id": f"{name}:{id}"}
    )


def _converters(name: str, license: str, what: str, pairs: Callable[[Source], Pairs]) -> tuple[Converter, Converter]:
    def converter(kind: str, draws: bool) -> Converter:
        read = partial(_read, name=kind, license=license, pairs=pairs, draws=draws)
        return Converter(kind, license, f"{what}: pictures to {'draw' if draws else 'describe'}", read)

    return converter(f"{name}_captions", False), converter(f"{name}_generation", True)


CONVERTERS: tuple[Converter, ...] = (
    *_converters("coco", "CC-BY-4.0", "COCO's captions (captions_train2017.json)", coco_pairs),
    *_converters("cc", "other", "a table of captions and files (Conceptual Captions)", table_pairs),
    *_converters("webdataset", "unknown", "WebDataset tars of pictures and captions", tar_pairs),
)
