"""Rows of shapes dialogues in the token layout of the shapes protocol, for the general trainer."""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from PIL import Image

from genllava.errors import CheckpointError
from genllava.protocols.parts import Parts
from genllava.protocols.shapes.tokens import QUERY
from genllava_finetune.modeling.encoding import Drawing, Example
from genllava_finetune.worlds.shapes.mixture import MIXTURE
from genllava_finetune.worlds.shapes.scene import Scene
from genllava_finetune.worlds.shapes.training import dialogues
from genllava_finetune.worlds.shapes.training.dialogue_rows import dialogue_of

NULL_SHARE: Final = MIXTURE["null"]


@dataclass(frozen=True, slots=True, eq=False)
class ShapesExample(Example):
    """A dialogue with what its pictures show.

    Attributes:
        scenes: of its pictures, in order.
    """

    scenes: tuple[Scene, ...] = ()


class ShapesEncoder:
    """Encodes rows of `DialogueRows` with notes, copied requests and plans, as the shapes model reads and writes them.

    Args:
        parts: of the shapes model.
        null_share: of the rows in whose place a drawing without words stands, of which the conditioning of guidance's
            unconditional branch is made.

    Raises:
        CheckpointError: the parts have no generation head.

    Attributes:
        queries: the token of each visual query of a drawing.
        added_tokens: none; the shapes model has all its tokens.
    """

    def __init__(self, parts: Parts, null_share: float = NULL_SHARE) -> None:
        if parts.generation_head is None:
            raise CheckpointError("the shapes model is trained with its generation head, and there is none")
        self.vision_language = parts.vision_language
        self.queries = [QUERY] * int(parts.generation_head.config["num_queries"])
        self.added_tokens: list[int] = []
        self._null_share = null_share
        config: Any = parts.vision_language.model.config
        tokenizer = parts.vision_language.tokenizer
        self._encoder = dialogues.Encoder(tokenizer, int(config.image_seq_length), len(self.queries))

    def encode(self, row: Mapping[str, Any]) -> ShapesExample:
        """A row as an example; how the user's pictures are drawn grows from its id, as the row itself does.

        Raises:
            RowError: the row is none of `DialogueRows`.
        """
        name, seed = str(row["id"]), row.get("seed")
        rng, dialogue = dialogue_of(name)
        choice = random.Random(f"null {name} {seed}")
        null = choice.random() < self._null_share
        made = self._encoder.null(choice) if null else self._encoder.encode(rng, dialogue)
        images = {id(picture): Image.fromarray(picture) for picture in made.pictures}
        drawings = [
            Drawing(plan, Image.fromarray(target), None if source is None else images[id(source)])
            for plan, (source, target) in zip(made.plans, made.drawings, strict=True)
        ]
        return ShapesExample(
            text="",
            pictures=tuple(images[id(picture)] for picture in made.pictures),
            drawings=tuple(drawings),
            row_id=name,
            seed=seed,
            input_ids=tuple(made.ids),
            labels=tuple(made.labels),
            scenes=tuple(made.scenes),
        )
