"""The next of several requests in a message, as the model takes it up: its words are copied from there.

The model chooses where a request begins and ends, and nothing else is possible: it is a piece of the message, and
comes after the pieces taken up before. So it cannot be misread, done twice, or run into another, as a picture cannot
be named that does not exist.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from genllava.layout import token_id
from genllava.tokens import BOS, EOS, IMAGE, SEEN, USER_END, USER_START

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


MAX_PASSED: Final = 8
"""Words that may be passed over before a request (`as soon as that is done,`): what is asked cannot be skipped."""


class NextRequest:
    """Which tokens may come next in a request that is taken up (`decoding.Constraint`).

    Attributes:
        possible: there are words left in the message, and it was not taken as a single request.
    """

    def __init__(self, tokenizer: PreTrainedTokenizerBase, ids: Sequence[int]) -> None:
        """Take up where `ids` end, a conversation in which the user has said something."""
        self._end = token_id(tokenizer, USER_END)
        start, image = token_id(tokenizer, USER_START), token_id(tokenizer, IMAGE)
        # What the user says follows on a turn's end, or on a look from which nothing came.
        borders = {token_id(tokenizer, token) for token in (BOS, EOS, SEEN)}
        begin = max(at + 1 for at in range(len(ids)) if ids[at] == start and (at == 0 or ids[at - 1] in borders))
        end = ids.index(self._end, begin)
        begin = max([begin, *(at + 1 for at in range(begin, end) if ids[at] == image)])
        self._message = list(ids[begin:end])
        pieces = tokenizer.convert_ids_to_tokens(self._message)
        self._words = [at for at, piece in enumerate(pieces) if piece[:1] in ("Ġ", "▁")]
        self._places: list[int] = []  # those of the message that the request may have come to
        self._begun = False
        single = len(ids) > end + 1 and ids[end + 1] != start
        self._begin(len(self._message) if single else 0)
        copying = False
        for token in ids[end + 1 :]:
            if token == start:
                copying = True
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
        return following | {self._end} if self._begun else following

    def advance(self, token: int) -> None:
        """Take the next token of the request into account."""
        following = [at + 1 for at in self._places if self._message[at : at + 1] == [token]]
        self._places, self._begun = following or self._places, True

    def _begin(self, place: int) -> None:
        """A request may begin with one of the next words from a place of the message on."""
        self._places, self._begun = [at for at in self._words if at >= place][: MAX_PASSED + 1], False
