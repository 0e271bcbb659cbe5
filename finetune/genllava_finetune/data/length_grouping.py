"""Rows of similar length next to each other, so that batches have little padding.

The sum of the token losses does not depend on how rows are grouped, as padding is masked in the attention and in the
labels. The mean over a batch does: a trainer divides by the number of tokens of the whole step.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np

from genllava_finetune.data.rows import Draw, Edit, Row, ShownImage, Text, ToolCall, ToolResult

BATCHES_IN_WINDOW: Final = 50
"""Rows of so many batches are in memory while they are grouped."""
_CHARACTERS_PER_TOKEN: Final = 4
_TOKENS_PER_PICTURE: Final = 256


def grouped_order(lengths: Sequence[int], batch_size: int, seeds: Sequence[int]) -> list[int]:
    """An order in which rows of similar length stand in runs of `batch_size`.

    The runs themselves are in a random order, so that lengths do not rise from batch to batch; one that is shorter
    than a batch stands at the end.

    Args:
        lengths: of the rows.
        batch_size: rows of a batch.
        seeds: of the order of the runs.

    Returns:
        Indices of the rows, each once.
    """
    by_length = sorted(range(len(lengths)), key=lambda index: lengths[index])
    runs = [by_length[start : start + batch_size] for start in range(0, len(by_length), batch_size)]
    last = [runs.pop()] if runs and len(runs[-1]) < batch_size else []
    order = np.random.default_rng(seeds).permutation(len(runs))
    return [index for run in [*(runs[number] for number in order), *last] for index in run]


def approximate_length(row: Row, per_picture: int = _TOKENS_PER_PICTURE, per_drawing: int = 0) -> int:
    """Tokens of a row, roughly: a quarter of its characters, and those of pictures and drawings.

    Args:
        per_picture: of each picture that is shown.
        per_drawing: of each drawing beside its plan: visual queries, what came of it, the picture itself.
    """
    characters, pictures, drawings = 0, 0, 0
    for message in row.messages:
        for block in message.content:
            if isinstance(block, Text | ToolResult):
                characters += len(block.text)
            elif isinstance(block, Draw):
                characters += len(block.prompt)
            elif isinstance(block, Edit):
                characters += len(block.instruction)
            elif isinstance(block, ToolCall):
                characters += len(block.name) + len(str(block.arguments))
            pictures += isinstance(block, ShownImage)
            drawings += isinstance(block, Draw | Edit)
    return characters // _CHARACTERS_PER_TOKEN + per_picture * pictures + per_drawing * drawings
