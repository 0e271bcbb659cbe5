"""The next of several requests in a message, as the model takes it up: its words are copied from there.

The model chooses where a request begins and ends, and nothing else is possible: it is a piece of the message, of whole
words, and comes after the pieces taken up before. So it cannot be misread or done twice, as a picture cannot be named
that does not exist.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from genllava.protocols.shapes.layout import token_id
from genllava.protocols.shapes.tokens import BOS, EOS, IMAGE, TASKS, USER_END, USER_START

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

_MARKS: Final = frozenset(".,;:!?")
MAX_PASSED: Final = 8
"""Words that may be passed over before a request (`as soon as that is done,`)."""
MIN_WORDS: Final = 2
"""Fewer words that are left of a message ask for nothing."""


class NextRequest:
    """Which tokens may come next in a request that is taken up (`decoding.Constraint`).

    Attributes:
        possible: there are words left in the message, and it was not taken as a single request.
        looked_from: where in `ids` the model began to look, after it last did something: at the request it then took
            up, if it took up any.
    """

    def __init__(self, tokenizer: PreTrainedTokenizerBase, ids: Sequence[int]) -> None:
        """Take up where `ids` end, a conversation in which the user has said something."""
        self._end = token_id(tokenizer, USER_END)
        start, image = token_id(tokenizer, USER_START), token_id(tokenizer, IMAGE)
        borders = {token_id(tokenizer, BOS), token_id(tokenizer, EOS)}  # what the user says follows on a turn's end
        starts = (at for at in reversed(range(len(ids))) if ids[at] == start and (at == 0 or ids[at - 1] in borders))
        begin = next(starts, -1) + 1
        end = ids.index(self._end, begin) if begin else len(ids)
        begin = max([begin, *(at + 1 for at in range(begin, end) if ids[at] == image)])
        self._message = list(ids[begin:end])
        pieces = tokenizer.convert_ids_to_tokens(self._message)
        self._words = [at for at, piece in enumerate(pieces) if piece[:1] in ("Ġ", "▁")]
        self._ends = {*self._words, len(pieces), *(at for at, piece in enumerate(pieces) if piece in _MARKS)}
        self._places: list[int] = []  # those of the message that the request may have come to
        self._begun = False
        single = len(ids) > end + 1 and ids[end + 1] != start
        self._begin(len(self._message) if single else 0)
        copying = acted = False
        acts = {token_id(tokenizer, token) for token in TASKS}
        self.looked_from = end + 1
        for at, token in enumerate(ids[end + 1 :], end + 1):
            acted = acted or token in acts
            if token == start:
                copying = True
                if acted:
                    self.looked_from, acted = at, False
            elif copying and token == self._end:
                copying = False
                self._begin(self._places[0])
            elif copying:
                self.advance(token)

    @property
    def possible(self) -> bool:
        return bool(self._places)

    @property
    def asks_more(self) -> bool:
        """So many words are left that something must be asked in them."""
        return sum(at >= self._places[0] for at in self._words) > MAX_PASSED if self._places else False

    @property
    def left(self) -> list[int]:
        """The tokens of the message that can still be taken up."""
        return self._message[self._places[0] :] if self._places else []

    def allowed(self) -> set[int]:
        """The message's tokens that may come next, and [/INST] once there is a word."""
        following = {self._message[at] for at in self._places if at < len(self._message)}
        return following | {self._end} if self._begun and self._ends.intersection(self._places) else following

    def barred(self) -> set[int]:
        """None: `allowed` says all."""
        return set()

    def advance(self, token: int) -> None:
        """Take the next token of the request into account."""
        following = [at + 1 for at in self._places if self._message[at : at + 1] == [token]]
        self._places, self._begun = following or self._places, True

    def _begin(self, place: int) -> None:
        """A request may begin with one of the next words from a place of the message on."""
        left = [at for at in self._words if at >= place]
        self._places, self._begun = left[: MAX_PASSED + 1] if len(left) >= MIN_WORDS else [], False
