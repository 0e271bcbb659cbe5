"""How a conversation becomes token ids. The only place that knows; training and inference both come here.

    <s> [INST] image 1 <image>*P make the circle green, then count the shapes [/INST]
    [INST] make the circle green [/INST]
    image 1: at the top left a large red circle, on white in image 1, circle: at the top left a large red circle [SEEN]
    [I2I] image 1: at the top left a large green circle, on white [SOI] <query>*N [EOI] image 2 <image>*P
    [INST] count the shapes [/INST] image 2: at the top left a large green circle, on white in image 2, shape: at ...
    [SEEN] [I2T] There is one shape. </s>
    [INST] ... [/INST] ... </s>

Of several requests in a message the model takes up one after the other, in the user's own words: each is then as if it
had been said by itself. Two changes that make one picture are taken up before anything is drawn; what the first leads
to is noted, and the second goes on from there:

    [INST] color the background black [/INST] image 1: ... in image 1, ... then: at the top ..., on black
    [INST] remove the star [/INST] in image 1, star: ... [SEEN] [I2I] image 1: ...

Before it does anything the model writes down what it sees: captions of the pictures that came in since it last did,
the user's and its own, and the objects that the request is about. What is asked is then a matter of words. The picture
that is asked about is described last, once more if another was described since, so that what is copied into an answer
or a plan is never further away than that. Where one picture gives something to another, which is which comes first of
all, `from image 3 to image 2`, and the one that gives is described right before the one that gets.

Every piece of text is tokenised by itself and the ids are joined, so a piece has the same ids wherever it
stands and what is cached stays valid. Text that the model wrote is never tokenised again: its ids are kept.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final
from weakref import WeakKeyDictionary

from genllava.options import DESCRIBE as DESCRIBE
from genllava.protocols.shapes.sentences import plain_sentences
from genllava.protocols.shapes.tokens import (
    EOI,
    EOS,
    I2T,
    IMAGE,
    QUERY,
    SEEN,
    SOI,
    SPECIAL_TOKENS,
    USER_END,
    USER_START,
)

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

ORDINALS: Final = ("first", "second", "third", "fourth", "fifth", "sixth", "seventh", "eighth", "ninth", "tenth")
_NAMED: Final = re.compile(r"\b(?:image|picture|drawing)[ _]?(?:number |#)?(\d+)\b", re.IGNORECASE)
_ORDINAL: Final = re.compile(rf"\b({'|'.join(ORDINALS)}) (?:image|picture|drawing)\b", re.IGNORECASE)
_SPECIAL: Final = re.compile("|".join(map(re.escape, SPECIAL_TOKENS)))
_CAPTION: Final = re.compile(
    r"(?:^|(?<=\s))(?<!in )image (\d[\d ]*): (?!image \d)(.*?)(?=\s(?:in |from )?image \d|\sthen:|$)"
)
_SPOKEN_OF: Final = re.compile(r"(?:^|(?<=\s))(?:in image (\d[\d ]*),|from image (\d[\d ]*) to image (\d[\d ]*))")
_TOKEN_IDS: Final[WeakKeyDictionary[PreTrainedTokenizerBase, dict[str, int]]] = WeakKeyDictionary()
"""Of special tokens, as far as they were asked for: asking the tokenizer again and again adds up within a turn."""


def normalize_user_text(text: str) -> str:
    """Lower case, single spaces, and no way to write a special token."""
    return " ".join(_SPECIAL.sub(" ", text.lower()).split())


def request_text(text: str) -> str:
    """What a user typed, as it is put to the model."""
    return normalize_user_text(plain_sentences(text))


def named_pictures(text: str) -> list[int]:
    """The pictures that a text names by number: `image 2`, `the first picture`."""
    numbers = [int(number) for number in _NAMED.findall(text)]
    return numbers + [ORDINALS.index(word.lower()) + 1 for word in _ORDINAL.findall(text)]


def user_turn(
    tokenizer: PreTrainedTokenizerBase, text: str, image_numbers: Sequence[int], tokens_per_image: int
) -> list[int]:
    """`[INST] image K <image>*P ... text [/INST]`: the pictures that come with a request, then its words."""
    ids = [token_id(tokenizer, USER_START)]
    for number in image_numbers:
        ids += picture(tokenizer, number, tokens_per_image)
    ids += text_ids(tokenizer, request_text(text))
    return [*ids, token_id(tokenizer, USER_END)]


def picture(tokenizer: PreTrainedTokenizerBase, number: int, tokens_per_image: int) -> list[int]:
    """`image K <image>*P`: picture number `number` of the conversation (from 1), by whomever it was made."""
    label = text_ids(tokenizer, f"image {number}")
    return label + [token_id(tokenizer, IMAGE)] * tokens_per_image


def seen(tokenizer: PreTrainedTokenizerBase, text: str) -> list[int]:
    """`text [SEEN]`: what new pictures show, and what a request is about; there may be nothing to write."""
    return [*text_ids(tokenizer, text), token_id(tokenizer, SEEN)]


def answer(tokenizer: PreTrainedTokenizerBase, text: str) -> list[int]:
    """`[I2T] text`; it ends with whatever comes next."""
    return [token_id(tokenizer, I2T), *text_ids(tokenizer, text)]


def plan(tokenizer: PreTrainedTokenizerBase, task: str, plan_text: str) -> list[int]:
    """`[T2I] plan [SOI]` or `[I2I] image K: plan [SOI]`; an empty plan is the null request of guidance."""
    return [token_id(tokenizer, task), *text_ids(tokenizer, plan_text), token_id(tokenizer, SOI)]


def drawing(tokenizer: PreTrainedTokenizerBase, num_queries: int) -> list[int]:
    """`<query>*N [EOI]`."""
    return [token_id(tokenizer, QUERY)] * num_queries + [token_id(tokenizer, EOI)]


def exchange(
    tokenizer: PreTrainedTokenizerBase,
    text: str,
    image_numbers: Sequence[int],
    tokens_per_image: int,
    seen_text: str,
    answer_text: str,
) -> list[int]:
    """A whole turn that was answered in words, `[INST] ... [/INST] seen [SEEN] [I2T] answer </s>`."""
    ids = user_turn(tokenizer, text, image_numbers, tokens_per_image)
    ids += seen(tokenizer, seen_text) + answer(tokenizer, answer_text)
    return [*ids, token_id(tokenizer, EOS)]


def picture_prefix(number: int) -> str:
    """How a plan says which picture it changes, and a caption which one it describes; a space and its text follow."""
    return f"image {number}:"


def split_edit_plan(plan_text: str) -> tuple[int | None, str]:
    """The number of the edited picture (None: there is no prefix) and the plan without it."""
    match = re.match(r"\s*image\s+([\d ]+):\s*", plan_text)
    if match is None:
        return None, plan_text
    return int(match[1].replace(" ", "")), plan_text[match.end() :]


def phrases(text: str) -> list[str]:
    """What a plan or a caption names, piece by piece."""
    parts = re.split(r"[,.;]", " ".join(text.lower().split()))
    return [part.strip() for part in parts if part.strip()]


def noted_caption(seen_text: str, number: int) -> str:
    """The first caption of a picture in what was noted; empty if there is none."""
    return next((words for described, words in captions_in(seen_text) if described == number), "")


def captions_in(seen_text: str) -> list[tuple[int, str]]:
    """The captions in what was noted: (number of the picture, words), in their order."""
    return [(int(number.replace(" ", "")), words.strip()) for number, words in _CAPTION.findall(seen_text)]


def spoken_of(seen_text: str) -> list[int]:
    """Numbers of the pictures that are asked about, by what was noted: `in image K, star: ...`, or described last."""
    numbers = [number for found in _SPOKEN_OF.findall(seen_text) for number in found if number]
    last = [number for number, _ in captions_in(seen_text)][-1:]
    return sorted({int(number.replace(" ", "")) for number in numbers} or set(last))


def text_ids(tokenizer: PreTrainedTokenizerBase, text: str) -> list[int]:
    """Ids of one piece of text, with nothing added; special tokens written out in it are dropped."""
    text = _SPECIAL.sub(" ", text)
    if not text.strip():
        return []
    ids: list[int] = tokenizer.encode(text, add_special_tokens=False, verbose=False)
    return ids


def token_id(tokenizer: PreTrainedTokenizerBase, token: str) -> int:
    """Id of a special token.

    Raises:
        ValueError: the tokenizer does not have it.
    """
    known = _TOKEN_IDS.setdefault(tokenizer, {})
    if token not in known:
        value = tokenizer.convert_tokens_to_ids(token)
        if not isinstance(value, int) or value == getattr(tokenizer, "unk_token_id", None):
            raise ValueError(f"the tokenizer has no token {token}")
        known[token] = value
    return known[token]
