"""What is counted of one row: its kind, lengths, sizes of pictures, and digests by which duplicates are found."""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from genllava_finetune.data.errors import DataError
from genllava_finetune.data.fingerprints import digest, question_digests, row_digest
from genllava_finetune.data.row_kinds import row_kind
from genllava_finetune.data.rows import Row

LENGTHS: Final = ("asked", "answered", "prompts")
"""Texts whose lengths are counted: of each message of the user; of each message of the assistant that says something;
of each prompt and instruction that it draws or edits by."""

CountTokens = Callable[[list[str]], list[int]]
"""Takes texts, and gives the number of tokens of each."""


@dataclass(frozen=True, slots=True)
class RowFacts:
    """What is counted of a row.

    Attributes:
        kind, source, license: of the row.
        roles: of its messages.
        sizes: (width, height) of each picture; None where its header cannot be read.
        picture_bytes: of all its picture files.
        words: of each text, by `LENGTHS`; `tokens` the same in tokens, where they are counted.
        digests: by "rows", "pictures" and "questions": what is the same in duplicates.
    """

    kind: str
    source: str
    license: str
    roles: tuple[str, ...]
    sizes: tuple[tuple[int, int] | None, ...]
    picture_bytes: int
    words: dict[str, list[int]]
    tokens: dict[str, list[int]]
    digests: dict[str, list[bytes]]


def row_facts(row: Row, count_tokens: CountTokens | None = None) -> RowFacts:
    """What is counted of `row`; its pictures are not decoded.

    Args:
        row: with the bytes of its pictures, as `restore_row` gives it.

    Raises:
        RowError: it holds what JSON cannot.
    """
    pictures = [digest(data) for data in row.images]
    texts = _texts(row)
    return RowFacts(
        kind=row_kind(row),
        source=row.source,
        license=row.license,
        roles=tuple(message.role for message in row.messages),
        sizes=tuple(_size(data) for data in row.images),
        picture_bytes=sum(map(len, row.images)),
        words={name: [len(text.split()) for text in found] for name, found in texts.items()},
        tokens={name: count_tokens(found) if count_tokens and found else [] for name, found in texts.items()},
        digests={
            "rows": [row_digest(row, pictures)],
            "pictures": pictures,
            "questions": question_digests(row, pictures),
        },
    )


def token_counter(folder: str) -> CountTokens:
    """Counts tokens with the tokenizer of a folder, without special tokens and chat template.

    Raises:
        DataError: there is none in it.
    """
    try:
        from transformers import AutoTokenizer

        tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
    except (OSError, ValueError, KeyError) as error:
        raise DataError(f"there is no tokenizer in {folder}: {str(error).splitlines()[0]}") from None
    return lambda texts: [len(ids) for ids in tokenizer(texts, add_special_tokens=False)["input_ids"]]


def _size(data: bytes) -> tuple[int, int] | None:
    from PIL import Image

    try:
        with Image.open(io.BytesIO(data)) as image:
            return image.size
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):
        return None


def _texts(row: Row) -> dict[str, list[str]]:
    texts: dict[str, list[str]] = {name: [] for name in LENGTHS}
    for message in row.messages:
        said = "\n".join(block.text for block in message.content if block.type == "text")
        if message.role == "user":
            texts["asked"].append(said)
        elif message.role == "assistant":
            texts["answered"] += [said] if said.strip() else []
            for block in message.content:
                if block.type == "draw":
                    texts["prompts"].append(block.prompt)
                elif block.type == "edit":
                    texts["prompts"].append(block.instruction)
    return texts
