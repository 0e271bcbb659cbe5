"""What the pipelines share: their options, and how a scene and an answer become a row."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any, Final

from genllava_finetune.curate.ledger import Entry
from genllava_finetune.data.records import Rejected
from genllava_finetune.data.rows import Row, read_row

Made = tuple[Row | Rejected, ...]
"""What comes of a scene."""
KINDS: Final = ("conversation", "detail", "reasoning")


@dataclass(frozen=True, slots=True)
class Options:
    """What a pipeline makes; each of these changes its rows.

    Attributes:
        seed: of all choices that are made here, and of the model's where it takes one.
        license: of the rows.
        kinds: of the llava pipeline.
        turns: questions of a conversation.
        requests: drawing requests for a picture.
        instructions: that are invented for a picture.
        clusters: that the invented instructions are put into; None: a tenth of their number, 300 at most.
        matches: instructions that are tried with a picture.
    """

    seed: int = 0
    license: str = "unknown"
    kinds: tuple[str, ...] = KINDS
    turns: int = 4
    requests: int = 1
    instructions: int = 5
    clusters: int | None = None
    matches: int = 2


def listed(texts: Sequence[str]) -> str:
    """Texts as lines of a list, as they stand in prompts."""
    return "\n".join(f"- {' '.join(text.split())}" for text in texts)


def rng(options: Options, *of: str) -> Random:
    """Random choices that depend on the seed and on what they are for, and on nothing else."""
    return Random(f"{options.seed}\0" + "\0".join(of))


def rejected(entry: Entry, id: str) -> Rejected:
    """An answer that gives no row."""
    return Rejected(f"{entry.step}: the answer is {entry.status}: {entry.reason}", id)


def row(source: str, options: Options, id: str, images: Sequence[Path], *messages: tuple[str, list[Any]]) -> Row:
    """A row.

    Args:
        images: files of its pictures.
        messages: role and blocks of each.
    """
    said = [{"role": role, "content": blocks} for role, blocks in messages]
    value = {"images": [str(path) for path in images], "messages": said, "source": f"curated-{source}"}
    return read_row(value | {"license": options.license, "id": f"{source}:{id}"})


def text(words: str) -> dict[str, Any]:
    """A text block."""
    return {"type": "text", "text": words}
