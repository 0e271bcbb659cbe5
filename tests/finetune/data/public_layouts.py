"""Small files in the layouts of public data sets, and how rows made of them are looked at."""

from __future__ import annotations

import io
import json
import tarfile
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from PIL import Image
from skimage import data

from genllava_finetune.data import command
from genllava_finetune.data.kinds import find_converter
from genllava_finetune.data.records import Record, Rejected, Source
from genllava_finetune.data.rows import Row, row_dict

PHOTOGRAPHS = {"coco/cat.jpg": data.chelsea, "coco/cup.png": data.coffee, "vg/cat.jpg": data.rocket}


def small_photographs(root: Path) -> Path:
    """A folder of small photographs, two of which have the same name."""
    for name, photograph in PHOTOGRAPHS.items():
        (root / name).parent.mkdir(exist_ok=True)
        Image.fromarray(photograph()).resize((32, 24)).save(root / name)
    return root


def run(*words: str) -> int:
    """The exit code of `genllava data`."""
    return command.run(words, ArgumentParser())


def convert(kind: str, location: Path, images: Path | None = None) -> list[Record]:
    return list(find_converter(kind).read(Source(str(location), images)))


def only_row(record: Record) -> Row:
    (row,) = record.results
    assert isinstance(row, Row), row
    return row


def reasons(records: list[Record]) -> dict[int, str]:
    """By line of the record."""
    return {
        record.origin.line: result.reason
        for record in records
        for result in record.results
        if isinstance(result, Rejected)
    }


def said(row: Row) -> list[tuple[str, list[Any]]]:
    """Role and blocks of each message: texts as they are, other blocks as mappings or, for shown pictures, `...`."""
    return [
        (
            message["role"],
            [
                block["text"] if block["type"] == "text" else ... if block["type"] == "image" else block
                for block in message["content"]
            ],
        )
        for message in row_dict(row)["messages"]
    ]


def turns(*values: str, first: str = "human") -> list[dict[str, str]]:
    speakers = ("human", "gpt") if first == "human" else ("gpt", "human")
    return [{"from": speakers[number % 2], "value": value} for number, value in enumerate(values)]


def llava(file: Path, *records: Any) -> Path:
    file.write_text(json.dumps(list(records), ensure_ascii=False, indent=1), encoding="utf-8")
    return file


FAITHFUL = [
    {
        "id": "000000033471",
        "image": "coco/cat.jpg",
        "conversations": turns("<image>\nWhat?", "A cat.", "Sure?", "Yes."),
    },
    {"id": "000000033471", "image": "coco/cat.jpg", "conversations": turns("Describe it.\n<image>", "Grey stripes.")},
    {"id": "middle", "image": "coco/cup.png", "conversations": turns("Look: <image> What is it?", "A cup.")},
    {"id": "inline", "image": "coco/cup.png", "conversations": turns("In <image>, what?\nSay it.", "Coffee.")},
    {"id": "two", "image": ["coco/cat.jpg", "vg/cat.jpg"], "conversations": turns("<image>\n<image>\nAlike?", "No.")},
    {
        "id": "late",
        "image": ["coco/cat.jpg", "coco/cup.png"],
        "conversations": turns("Hello.", "Hi.", "<image>\nAnd this?", "A cat.", "And\n<image>", "A cup."),
    },
    {"id": "same-twice", "image": ["coco/cat.jpg"] * 2, "conversations": turns("<image>\nor\n<image>", "One cat.")},
    {"id": "bare", "image": "coco/cat.jpg", "conversations": turns("<image>", "A cat.")},
    {"id": "words", "conversations": turns("  Write HTML.\n\n", "Use <image> or <img>.")},
    {"id": "system", "system": "Be brief.", "conversations": turns("Grüße \U0001f600\u2028!", "Hi.")},
    {"id": "open", "conversations": turns("Hello.", "Hi.", "Bye.")},
    {"id": "a#b", "conversations": turns("Hello.", "Hi.")},
]


def coco(folder: Path) -> Path:
    """Annotations in COCO's layout: captions before and after the list of pictures, and some that are broken."""
    captions = [
        {"image_id": 391895, "id": 770337, "caption": "A grey cat on a cushion.\n"},
        {"image_id": 522418, "id": 771687, "caption": "A cup of {coffee}."},
        {"image_id": 391895, "id": 3, "caption": " "},
        {"image_id": 5, "id": 4, "caption": "A dog."},
        {"image_id": 6, "id": 5, "caption": "A picture that is gone."},
        {"image_id": 391895, "id": 6},
        7,
    ]
    listed = [
        {"file_name": "coco/cat.jpg", "id": 391895, "height": 24},
        {"file_name": "coco/cup.png", "id": 522418},
        {"file_name": "coco/gone.jpg", "id": 6},
    ]
    file = folder / "captions_train2017.json"
    file.write_text(json.dumps({"info": {"year": 2017}, "annotations": captions, "images": listed}))
    return file


def tar(file: Path, **members: bytes) -> Path:
    """A tar; `__` in a name stands for a dot."""
    with tarfile.open(file, "w") as archive:
        for name, content in members.items():
            member = tarfile.TarInfo(name.replace("__", "."))
            member.size = len(content)
            if content == b"LINK":
                member.type, member.linkname, member.size = tarfile.SYMTYPE, "/etc/passwd", 0
            archive.addfile(member, io.BytesIO(content) if member.size else None)
    return file
