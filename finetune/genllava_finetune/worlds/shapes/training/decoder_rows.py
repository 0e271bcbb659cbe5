"""What the image decoder is trained on, as rows: pictures to draw from their plans, and to make from others."""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping
from typing import Any

from genllava.images import load_image
from genllava.protocols.parts import Parts
from genllava_finetune.data.rows import Draw, Edit, read_row
from genllava_finetune.modeling.encoding import IGNORE, Drawing, Example
from genllava_finetune.worlds.shapes.plan import any_plan
from genllava_finetune.worlds.shapes.render import render
from genllava_finetune.worlds.shapes.rows import LICENSE, NAME
from genllava_finetune.worlds.shapes.splits import Split
from genllava_finetune.worlds.shapes.training.image_decoder import sample_pair


def decoder_rows(count: int, seed: int = 0, split: Split = "train") -> Iterator[dict[str, Any]]:
    """Rows of one drawing each: a new picture, or one that is made from another.

    Args:
        count: how many.
        seed: other pictures for each.
        split: of the scenes.
    """
    for number in range(count):
        rng = random.Random(f"shapes drawings {split} {seed} {number}")
        source, target = sample_pair(rng, split)
        plan = any_plan(rng, target)
        shown = [] if source is None else [{"type": "image"}]
        said = (
            {"type": "draw", "prompt": plan} if source is None else {"type": "edit", "instruction": plan, "source": 0}
        )
        yield {
            "images": [*([] if source is None else [render(source)]), render(target)],
            "messages": [
                {"role": "user", "content": [*shown, {"type": "text", "text": plan}]},
                {"role": "assistant", "content": [said]},
            ],
            "source": NAME,
            "license": LICENSE,
            "id": f"shapes-drawing-{split}:{seed}:{number}",
        }


class DrawingEncoder:
    """Encodes of rows only what is drawn: the decoder learns from its own text encoder, and no word is read.

    Args:
        parts: of the model.

    Attributes:
        queries, added_tokens: none.
    """

    def __init__(self, parts: Parts) -> None:
        self.vision_language = parts.vision_language
        self.queries: list[str] = []
        self.added_tokens: list[int] = []

    def encode(self, row: Mapping[str, Any]) -> Example:
        """The drawings of a row as an example.

        Raises:
            RowError: the row is malformed.
        """
        seed = row.get("seed")
        read = read_row({name: value for name, value in row.items() if name != "seed"})
        drawings = [
            self._drawing(block, read.images)
            for message in read.messages
            for block in message.content
            if isinstance(block, Draw | Edit)
        ]
        end = int(self.vision_language.tokenizer.eos_token_id)
        words: dict[str, Any] = {"input_ids": (end,), "labels": (IGNORE,)}
        return Example(text="", drawings=tuple(drawings), row_id=read.id, seed=seed, **words)

    @staticmethod
    def _drawing(block: Draw | Edit, images: Any) -> Drawing:
        target = load_image(images[block.image or 0])
        if isinstance(block, Edit):
            return Drawing(block.instruction, target, load_image(images[block.source]))
        return Drawing(block.prompt, target)
