"""The dialogues that the shipped model is tuned on, as a sequence of rows that are made when they are asked for.

A row holds what a general model needs. Its id says from which random numbers its dialogue grows, so that what knows the
world can make the dialogue anew, with the truth that has no place in a row: what pictures show, and what is noted.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Final, overload

from genllava.errors import InvalidRequest
from genllava_finetune.data.errors import RowError
from genllava_finetune.data.rows import Row
from genllava_finetune.worlds.shapes.dialogue import Dialogue
from genllava_finetune.worlds.shapes.mixture import MIXTURE, sample_training_dialogue
from genllava_finetune.worlds.shapes.rows import RowOptions, dialogue_row
from genllava_finetune.worlds.shapes.splits import SETTINGS

_PREFIX: Final = "shapes-dialogue"
_KINDS: Final = {kind: share for kind, share in MIXTURE.items() if kind != "null"}


class DialogueRows(Sequence[Row]):
    """Rows of dialogues of the training mixture; row k is a function of the seed and k alone.

    Args:
        count: how many.
        seed: other dialogues for each.
        withhold: `nothing`, or `research`, see `splits.SETTINGS`.

    Raises:
        InvalidRequest: there are to be none, or `withhold` is unknown.
    """

    def __init__(self, count: int, seed: int = 0, withhold: str = "nothing") -> None:
        if count < 1:
            raise InvalidRequest(f"shapes dialogues: count must be at least 1, not {count}")
        if withhold not in SETTINGS:
            raise InvalidRequest(f"shapes dialogues: withhold is one of {', '.join(SETTINGS)}, not {withhold!r}")
        self._count, self._seed, self._withhold = count, seed, withhold

    def __len__(self) -> int:
        return self._count

    @overload
    def __getitem__(self, index: int) -> Row: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Row]: ...
    def __getitem__(self, index: int | slice) -> Row | Sequence[Row]:
        if isinstance(index, slice):
            return [self[number] for number in range(*index.indices(self._count))]
        number = range(self._count)[index]
        rng, dialogue = _sample(self._withhold, self._seed, number)
        return dialogue_row(rng, dialogue, f"{_PREFIX}:{self._withhold}:{self._seed}:{number}", RowOptions())


def dialogue_of(row_id: str) -> tuple[random.Random, Dialogue]:
    """The dialogue of a row of `DialogueRows`, and the source of random numbers for how its pictures are drawn.

    Raises:
        RowError: the row is none of those.
    """
    prefix, withhold, *numbers = row_id.split(":") if row_id.count(":") == 3 else ("", "")
    if prefix != _PREFIX or withhold not in SETTINGS or not all(number.isdecimal() for number in numbers):
        raise RowError(f"{row_id}: this row is none of the shapes world's dialogues (DialogueRows)")
    return _sample(withhold, *map(int, numbers))


def _sample(withhold: str, seed: int, number: int) -> tuple[random.Random, Dialogue]:
    rng = random.Random(f"shapes dialogues {seed} {number}")
    kind = rng.choices(list(_KINDS), list(_KINDS.values()))[0]
    dialogue = sample_training_dialogue(rng, kind, withhold=SETTINGS[withhold])
    assert dialogue is not None
    return rng, dialogue
