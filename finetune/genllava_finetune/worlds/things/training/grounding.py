"""What each token of a picture stands for: words, as the language model embeds them.

An auxiliary loss of training. The tokens of a picture are its nine cells. Each is scored against the embeddings of the
words for what may be there (names, styles, colours, sizes, and "nothing"), and all of them together against those of
the backgrounds, as CLIP and SigLIP score pictures against texts (arXiv 2303.15343). So the language model gets of a
picture what it can read already. Besides, a linear map of each token is to give what the image decoder is told of
such a cell, which says how it looks: that is learnt long before names are.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from genllava.layout_decoder.layout import NOTHING
from genllava.protocols.parts import Parts
from genllava_finetune.modeling.encoding import IGNORE, Example
from genllava_finetune.modeling.model import AuxiliaryLoss
from genllava_finetune.worlds.things.knowledge.things import things
from genllava_finetune.worlds.things.pictures.plan import looks_words, read_plan
from genllava_finetune.worlds.things.pictures.scene import BACKGROUNDS, COLOURS, PLACES, SHAPES, SIZES, STYLES, Item

_NOTHING: Final = "nothing"
_OWN: Final = "as it is"
"""The colour of a thing in its own colours."""
_PLAIN: Final = "shape"
"""The style of a shape."""
GROUPS: Final[Mapping[str, tuple[str, ...]]] = {
    "name": (_NOTHING, *SHAPES, *(each.name for each in things())),
    "style": (_PLAIN, *STYLES),
    "colour": (_OWN, *COLOURS),
    "size": SIZES,
    "place": PLACES,
}
"""The words that are told apart for a cell. The place is learnt at once; by it the language model finds the cell."""
_KINDS: Final = (*((name, True) for name in SHAPES), *((each.name, False) for each in things()))
_NAMES: Final = {kind: number for number, kind in enumerate(_KINDS, 1)}
"""Which of the names it is, by `Item.kind`; the star is both a shape and a thing in the sky."""
_TEMPERATURE: Final = 10.0
_LOOKS: Final = 6.0
"""Weight of how cells look, against that of the words."""


class GroundingLoss(AuxiliaryLoss):
    """Cross-entropy over the words of each group, for cells; over backgrounds, for pictures.

    Args:
        embeddings: the language model's; shared with it.
        tokens: for each group's words, and the backgrounds', their tokens.
        phrases: numbers of the image decoder's phrases, `large 3d cat` and `nothing` among them.
        codes: [phrases, C], what the decoder is told by each.
        weight: in the loss.
    """

    def __init__(
        self,
        embeddings: nn.Embedding,
        tokens: Mapping[str, Sequence[Sequence[int]]],
        phrases: Mapping[str, int],
        codes: Tensor,
        weight: float,
    ) -> None:
        super().__init__()
        self._phrases = dict(phrases)
        self.register_buffer("codes", F.normalize(codes.float(), dim=-1), persistent=False)
        self.looks = nn.Linear(embeddings.embedding_dim, codes.shape[1])
        self.weight = weight
        self._embeddings = [embeddings]  # in a list: it is no module of this loss
        for name, words in tokens.items():
            longest = max(map(len, words))
            ids = torch.tensor([[*word, *[0] * (longest - len(word))] for word in words])
            mask = torch.tensor([[1.0] * len(word) + [0.0] * (longest - len(word)) for word in words])
            self.register_buffer(f"{name}_ids", ids, persistent=False)
            self.register_buffer(f"{name}_mask", mask, persistent=False)
        self.scale = nn.Parameter(torch.tensor(_TEMPERATURE))
        self.bias = nn.ParameterDict({name: nn.Parameter(torch.zeros(len(words))) for name, words in tokens.items()})

    def collate(self, rows: Sequence[Mapping[str, Any]], examples: Sequence[Example]) -> dict[str, Tensor]:
        """What the pictures show, read from the plan that the assistant says of each: rows of one picture only."""
        scenes = [read_plan(_last_text(row)) for row in rows]
        if not scenes or any(scene is None for scene in scenes):
            return {}
        shown = [scene for scene in scenes if scene is not None]
        cells = [[[*_labels(scene.at(place)), number] for number, place in enumerate(PLACES)] for scene in shown]
        backgrounds = torch.tensor([BACKGROUNDS.index(scene.background) for scene in shown])
        looks = [[self._phrases[_phrase(scene.at(place))] for place in PLACES] for scene in shown]
        return {"cells": torch.tensor(cells), "looks": torch.tensor(looks), "backgrounds": backgrounds}

    def forward(self, outputs: Mapping[str, Any], batch: Mapping[str, Any]) -> dict[str, Tensor]:
        """The loss; the shares of cells, and of whole pictures, of which everything is read."""
        features = torch.stack(list(outputs["image_features"])).float()
        cells, backgrounds = batch["cells"], batch["backgrounds"]
        loss, right = features.new_zeros(()), torch.ones_like(cells[..., 0], dtype=torch.bool)
        for index, name in enumerate(GROUPS):
            scores, wanted = self._scores(features, name), cells[..., index]
            loss = loss + F.cross_entropy(scores.flatten(0, 1), wanted.flatten(), ignore_index=IGNORE)
            right &= (scores.argmax(-1) == wanted) | (wanted == IGNORE)
        scores = self._scores(features.mean(1), "background")
        loss = loss + F.cross_entropy(scores, backgrounds)
        alike = (F.normalize(self.looks(features), dim=-1) * self.codes[batch["looks"]]).sum(-1)  # type: ignore[index]
        loss = loss + _LOOKS * (1 - alike).mean()
        whole = right.all(1) & (scores.argmax(-1) == backgrounds)
        filled = cells[..., 0] > 0
        found = (right & filled).sum() / filled.sum().clamp(min=1)
        shown = (alike * filled).sum() / filled.sum().clamp(min=1)
        return {"loss": loss, "cells": found, "exact": whole.float().mean(), "looks": shown}

    def _scores(self, features: Tensor, name: str) -> Tensor:
        """[..., words]: how well features [..., D] fit each word."""
        ids, mask = getattr(self, f"{name}_ids"), getattr(self, f"{name}_mask")
        words = (self._embeddings[0](ids).float() * mask[..., None]).sum(1) / mask.sum(1, keepdim=True)
        scores: Tensor = features @ F.normalize(words, dim=-1).T * (self.scale / features.shape[-1] ** 0.5)
        biased: Tensor = scores + self.bias[name]
        return biased


def grounding_loss(parts: Parts, weight: float = 1.0) -> GroundingLoss:
    """The loss for the vision-language model of a recipe's parts.

    Args:
        weight: in the loss.
    """
    language = parts.vision_language
    groups = {**GROUPS, "background": BACKGROUNDS}
    tokens = {
        name: [language.tokenizer(f" {word}", add_special_tokens=False)["input_ids"] for word in words]
        for name, words in groups.items()
    }
    pipeline = parts.require_decoder().pipeline
    codes = pipeline.text_encoder.get_input_embeddings().weight.detach()
    return GroundingLoss(language.model.get_input_embeddings(), tokens, pipeline.tokenizer.get_vocab(), codes, weight)


def _labels(item: Item | None) -> list[int]:
    """Index of the word of each group but the last."""
    if item is None:
        return [0, IGNORE, IGNORE, IGNORE]
    style = GROUPS["style"].index(item.style or _PLAIN)
    return [_NAMES[item.kind], style, GROUPS["colour"].index(item.colour or _OWN), SIZES.index(item.size)]


def _phrase(item: Item | None) -> str:
    return NOTHING if item is None else looks_words(item)


def _last_text(row: Mapping[str, Any]) -> str:
    return str(row["messages"][-1]["content"][0].get("text", ""))
