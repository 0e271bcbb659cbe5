"""`<image>` in the text of a turn, where LLaVA's JSON puts its pictures: into blocks, and back.

A picture at the beginning or at the end of a turn stands on a line of its own there, and that line break is no part of
the text. One inside a sentence keeps the characters around it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from genllava_finetune.data.errors import RowError
from genllava_finetune.data.rows import ShownImage, Text

PLACEHOLDER = "<image>"


def to_blocks(text: str) -> list[dict[str, Any]]:
    """The blocks of a turn: its words, and an `image` block for each placeholder."""
    pieces = text.split(PLACEHOLDER)
    last = len(pieces) - 1
    wordy = [number for number, piece in enumerate(pieces) if piece.strip()]
    blocks = list[dict[str, Any]]()
    for number, piece in enumerate(pieces):
        if number:
            blocks.append({"type": "image"})
        if not wordy or not wordy[0] <= number <= wordy[-1]:
            continue  # the space between pictures before the first or after the last word
        if 0 < number == wordy[0]:
            piece = piece.removeprefix("\n")
        if last > number == wordy[-1]:
            piece = piece.removesuffix("\n")
        if piece:
            blocks.append({"type": "text", "text": piece})
    return blocks


def to_text(blocks: Sequence[Text | ShownImage]) -> str:
    """The turn that `to_blocks` reads as these blocks.

    Raises:
        RowError: a text has `<image>` in it, which would be read as a picture.
    """
    words = [number for number, block in enumerate(blocks) if isinstance(block, Text)]
    text = ""
    for number, block in enumerate(blocks):
        if isinstance(block, Text):
            if PLACEHOLDER in block.text:
                raise RowError(f"a text of the user has {PLACEHOLDER} in it, which LLaVA's JSON reads as a picture")
            leads = bool(words) and 0 < number == words[0]
            text += "\n" * (leads and not block.text.startswith(" ")) + block.text
            continue
        outside = not words or number < words[0] or number > words[-1]
        text += "\n" * (bool(text) and outside and not text.endswith(" ")) + PLACEHOLDER
    return text
