"""Dialogues as training examples: token ids, labels, pictures and plans, in the layout of inference.

Only what is told instead of shown (`Encoder.tell`) has a layout of its own: that of inference with nothing to look at.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from transformers import PreTrainedTokenizerBase

from genllava.protocols.shapes import layout
from genllava.protocols.shapes.tokens import BOS, EOS, PAD, SPECIAL_TOKENS, T2I
from genllava_finetune.worlds.shapes.augment import draw_varied
from genllava_finetune.worlds.shapes.dialogue import Dialogue, Look, Turn
from genllava_finetune.worlds.shapes.notes import caption, in_picture, lending, then
from genllava_finetune.worlds.shapes.placement import centred, settled
from genllava_finetune.worlds.shapes.render import render_array
from genllava_finetune.worlds.shapes.scene import COLORS, Scene
from genllava_finetune.worlds.shapes.splits import NOTHING, Withheld, sample_scene
from genllava_finetune.worlds.shapes.training.language_tokenizer import token_ids

IGNORE: Final = -100
_MARKS: Final = " .,;?!"
BLANK_COLORS: Final = 0.4
BLANK_OTHERS: Final = 0.06
"""How many of its own words are hidden from the model in a dialogue with blanks: colours, and all others."""


@dataclass(slots=True)
class Example:
    """One encoded dialogue.

    Attributes:
        ids, labels: of equal length; labels are `IGNORE` where nothing is to be learnt.
        pictures: what is seen, in the order of their placeholders.
        scenes: what each of them shows.
        plans: text of every drawing, without the `image K: ` prefix, in the order of their visual queries.
        drawings: for each, the picture it edits (None for generation) and the picture it should be.
        described: numbers of the pictures that have been described, the one described last at the end.
    """

    ids: list[int]
    labels: list[int]
    pictures: list[NDArray[np.uint8]] = field(default_factory=list)
    scenes: list[Scene] = field(default_factory=list)
    plans: list[str] = field(default_factory=list)
    drawings: list[tuple[NDArray[np.uint8] | None, NDArray[np.uint8]]] = field(default_factory=list)
    described: list[int] = field(default_factory=list)


class Encoder:
    """Turns dialogues into examples for one tokenizer."""

    def __init__(self, tokenizer: PreTrainedTokenizerBase, tokens_per_image: int, num_queries: int) -> None:
        self.tokenizer = tokenizer
        self.tokens_per_image = tokens_per_image
        self.num_queries = num_queries
        self.bos, self.eos, self.padding = token_ids(tokenizer, BOS, EOS, PAD)
        self.special = frozenset(token_ids(tokenizer, *SPECIAL_TOKENS))
        self.colors = frozenset(token for color in COLORS for token in layout.text_ids(tokenizer, color))

    def encode(self, rng: random.Random, dialogue: Dialogue) -> Example:
        example = Example([self.bos], [IGNORE])
        for turn in dialogue.turns:
            self._turn(rng, turn, example)
        return example

    def tell(self, rng: random.Random, dialogue: Dialogue) -> Example:
        """The dialogue with its pictures told and not shown: captions, plans, and no features and no queries.

        What is asked of a picture is answered from what was written down of it. Where there is nothing to look at,
        that is learnt sooner, and in half of the tokens.
        """
        told = Encoder(self.tokenizer, tokens_per_image=0, num_queries=0).encode(rng, dialogue)
        return Example(told.ids, told.labels)

    def blank(self, rng: random.Random, example: Example) -> Example:
        """The dialogue with some of the assistant's words hidden from it, though it still learns to say them.

        What comes next is then known from the request or the picture, and not from the word before it: of two things
        that were never seen together, the one does not rule out the other.
        """
        ids = list(example.ids)
        for place, (token, label) in enumerate(zip(example.ids, example.labels, strict=True)):
            if label == IGNORE or token in self.special:
                continue
            if rng.random() < (BLANK_COLORS if token in self.colors else BLANK_OTHERS):
                ids[place] = self.padding
        return replace(example, ids=ids)

    def outline(self, dialogue: Dialogue) -> Example:
        """The requests of messages, copied one after the other, and which picture of theirs gives something to which.

        Nothing is shown and nothing done: pictures are only numbered.
        """
        example, pictures = Example([self.bos], [IGNORE]), 0
        for turn in dialogue.turns:
            numbers = range(pictures + 1, pictures + len(turn.images) + 1)
            pictures += len(turn.images)
            self._add(example, layout.user_turn(self.tokenizer, turn.user, numbers, 0), learn=False)
            steps = iter(turn.steps)
            for look, text in zip(turn.looks, as_typed(turn.user, turn.asked) or [""], strict=True):
                if text:
                    self._take(example, text)
                self._lend(example, look)
                step = None if look.planned else next(steps, None)
                if step is not None and step.target is not None:
                    pictures += 1
                    self._add(example, layout.picture(self.tokenizer, pictures, 0), learn=False)
            self._add(example, [self.eos], learn=bool(turn.asked))
        return example

    def null(self, rng: random.Random, withhold: Withheld = NOTHING) -> Example:
        """A drawing without words: what the null conditioning is made of."""
        example = Example([self.bos], [IGNORE], plans=[""])
        example.drawings.append((None, render_array(centred(sample_scene(rng, "train", withhold=withhold)))))
        self._add(example, layout.plan(self.tokenizer, T2I, ""), learn=False)
        self._add(example, layout.drawing(self.tokenizer, self.num_queries), learn=False)
        return example

    def _turn(self, rng: random.Random, turn: Turn, example: Example) -> None:
        numbers = []
        for scene in turn.images:
            example.pictures.append(draw_seen(rng, scene))
            example.scenes.append(scene)
            numbers.append(len(example.pictures))
        user = layout.user_turn(self.tokenizer, turn.user, numbers, self.tokens_per_image)
        self._add(example, user, learn=False)
        requests = as_typed(turn.user, turn.asked) or [""]
        steps = iter(turn.steps)
        for look, text in zip(turn.looks, requests, strict=True):
            if text:
                self._take(example, text)
            self._look(example, look)
            step = None if look.planned else next(steps, None)
            if step is None:  # there is nothing but to look
                continue
            if step.target is None:
                self._add(example, layout.answer(self.tokenizer, step.text), learn=True)
                continue
            self._add(example, layout.plan(self.tokenizer, f"[{step.task}]", step.text), learn=True)
            self._add(example, layout.drawing(self.tokenizer, self.num_queries), learn=False)
            example.plans.append(step.text.split(": ", 1)[-1])
            source, target = None, centred(step.target)
            if step.source is not None:
                source = example.pictures[step.source - 1]
                target = settled(example.scenes[step.source - 1], step.target)
            drawn = render_array(target)
            example.drawings.append((source, drawn))
            example.pictures.append(drawn)
            example.scenes.append(target)
            shown = layout.picture(self.tokenizer, len(example.pictures), self.tokens_per_image)
            self._add(example, shown, learn=False)
        self._add(example, [self.eos], learn=True)

    def _look(self, example: Example, look: Look) -> None:
        """Add captions of the pictures that have none, and what is noted of the one that the request is about.

        That one is described last, again if need be, and right after the one that it takes something from: what is
        done next never has to look for them further back. Which of two is which is noted before either.
        """
        self._lend(example, look)
        new = [number for number in range(1, len(example.scenes) + 1) if number not in example.described]
        last = [number for number in (look.beside, look.about) if number is not None]
        if look.beside is not None or [*example.described, *new][-len(last) :] != last:
            new = [*(number for number in new if number not in last), *last]
        for number in new:
            seen = layout.text_ids(self.tokenizer, caption(number, example.scenes[number - 1]))
            blind = len(layout.text_ids(self.tokenizer, layout.picture_prefix(number)))  # that it looks needs no eyes
            known = self.tokens_per_image > 0 or number in example.described
            self._add(example, seen[:blind], learn=True)
            self._add(example, seen[blind:], learn=known)
        example.described += new
        notes = in_picture(look.about, look.notes)
        if look.planned:
            self._add(example, layout.text_ids(self.tokenizer, notes), learn=True)
            self._add(example, layout.text_ids(self.tokenizer, then(look.planned)), learn=True)
        else:
            self._add(example, layout.seen(self.tokenizer, notes), learn=True)

    def _lend(self, example: Example, look: Look) -> None:
        """Note which picture gives something to which, if one does."""
        if look.beside is not None and look.about is not None:
            text = lending(look.beside, look.about)
            self._add(example, layout.text_ids(self.tokenizer, text), learn=True)

    def _take(self, example: Example, request: str) -> None:
        """Add one of several requests as the model takes it up."""
        self._add(example, layout.user_turn(self.tokenizer, request, [], self.tokens_per_image), learn=True)

    @staticmethod
    def _add(example: Example, ids: Sequence[int], learn: bool) -> None:
        example.ids.extend(ids)
        example.labels.extend(ids if learn else [IGNORE] * len(ids))


def as_typed(message: str, requests: Sequence[str]) -> list[str]:
    """The requests as they stand in the message, with its spelling mistakes.

    Raises:
        ValueError: one of them is not there, after those before it.
    """
    words = layout.normalize_user_text(message).split(" ")
    found, at = [], 0
    for request in requests:
        wanted = layout.normalize_user_text(request).rstrip(_MARKS).split(" ")
        while True:
            piece = words[at : at + len(wanted)]
            if len(piece) < len(wanted):
                raise ValueError(f"{request!r} is not in {message!r}")
            if sum(word.rstrip(_MARKS) != want.rstrip(_MARKS) for word, want in zip(piece, wanted, strict=True)) <= 1:
                break
            at += 1
        found.append(" ".join(piece).rstrip(_MARKS))
        at += len(wanted)
    return found


def draw_seen(rng: random.Random, scene: Scene) -> NDArray[np.uint8]:
    """A picture as a user might bring it: half of them clean, half drawn in other ways."""
    return render_array(scene) if rng.random() < 0.5 else draw_varied(rng, scene)


def pad(rows: Sequence[Sequence[int]], value: int) -> Tensor:
    """Right-padded [B, T]; T is a multiple of 8."""
    length = -(-max(map(len, rows)) // 8) * 8
    return torch.tensor([[*row, *[value] * (length - len(row))] for row in rows])
