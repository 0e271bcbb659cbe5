"""Whether what was said is right: names with their synonyms and plurals, numbers, places, colours and so on.

Words are compared as words, never as letters: "hot dog" names no dog, and "an orange diamond" no orange.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Final

from genllava_finetune.worlds.things.grading.test_file_cases import Answer
from genllava_finetune.worlds.things.knowledge.things import words as thing_words
from genllava_finetune.worlds.things.language.wording import many_of, read_phrases
from genllava_finetune.worlds.things.pictures.scene import BACKGROUNDS, SHAPES, Scene

Words = tuple[str, ...]

_NUMBERS: Final = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")
_NONE: Final = frozenset(("none", "no", "nothing", "zero", "neither", "empty", "nobody"))
_YES: Final = frozenset(
    ("yes", "yeah", "yep", "yup", "sure", "indeed", "correct", "true", "right", "exactly", "absolutely")
)
_NO: Final = frozenset(("no", "nope", "nah", "never", "false", "wrong"))
_DENIED: Final = frozenset((
    "no", "not", "none", "nothing", "nope", "nah", "neither", "never", "isn't", "aren't", "don't", "doesn't", "can't",
    "cannot", "won't", "nowhere", "false", "wrong",
))  # fmt: skip
_STATED: Final = ("there is", "there are", "there's", "it is", "it does", "it has", "they are", "they do", "both are")
_SAYS_CANNOT: Final = frozenset((
    "cannot", "can't", "unable", "sorry", "couldn't", "not", "no", "only", "don't", "doesn't", "isn't",
))  # fmt: skip
_COMPARING: Final = frozenset(("than", "not", "while", "but", "as", "of", "to", "above", "below", "between"))
_DONE: Final = ("here it is", "here you are", "here you go", "here is your", "i drew", "i have drawn it", "done")
_BEFORE_FRUIT: Final = frozenset(("a", "an", "the", "and", "one", "two", "three", "no"))
_MIDDLE: Final = frozenset(("center", "centre", "middle", "central", "halfway"))
_SIDES: Final[Mapping[str, str]] = {
    "top": "top", "upper": "top", "topmost": "top", "above": "top", "bottom": "bottom", "lower": "bottom",
    "lowest": "bottom", "left": "left", "leftmost": "left", "right": "right", "rightmost": "right",
}  # fmt: skip
_MORE_SIZES: Final[Mapping[str, Words]] = {"small": ("smallest",), "large": ("biggest", "largest")}
_MORE_STYLES: Final[Mapping[str, Words]] = {"3d": ("3d", "three d", "3 d"), "flat": ("2d",), "cartoon": ("drawn",)}


def tokens(text: str) -> Words:
    """The words of a text in small letters; "can't" is one, "top-left" two."""
    letters = (each if each.isalnum() or each == "'" else " " for each in text.lower().replace("’", "'"))
    return tuple(word.strip("'") for word in "".join(letters).split() if word.strip("'"))


def occurs(phrase: str, said: Words) -> bool:
    """Whether the words of a phrase stand in a text, one after the other, the last of them in any number."""
    wanted = tokens(phrase)
    if not wanted:
        return False
    last = {wanted[-1], f"{wanted[-1]}s", f"{wanted[-1]}es", many_of(wanted[-1])}
    starts = range(len(said) - len(wanted) + 1)
    return any(said[i : i + len(wanted) - 1] == wanted[:-1] and said[i + len(wanted) - 1] in last for i in starts)


@lru_cache(maxsize=1)
def _named_by() -> Mapping[Words, str]:
    """What names a thing or a shape, as words."""
    found = {tokens(word): thing.name for word, thing in thing_words().items()}
    for shape in SHAPES:
        found[(shape,)] = found[(many_of(shape),)] = shape
    for word, shape in (("disc", "circle"), ("disk", "circle"), ("rhombus", "diamond"), ("plus sign", "cross")):
        found.setdefault(tokens(word), shape)
    return found


@lru_cache(maxsize=1)
def _longest() -> int:
    return max(map(len, _named_by()))


def mentions(said: Words) -> list[tuple[str, int]]:
    """The things and shapes that a text names, each with the number of its first word; the longest names first."""
    found: list[tuple[str, int]] = []
    place = 0
    while place < len(said):
        length, name = _name_at(said, place)
        if name == "orange" and said[place] == "orange" and not _is_fruit(said, place):
            name = None
        if name is not None:
            found.append((name, place))
        place += length
    return found


def _name_at(said: Words, place: int) -> tuple[int, str | None]:
    for length in range(min(_longest(), len(said) - place), 0, -1):
        name = _named_by().get(said[place : place + length])
        if name is not None:
            return length, name
    return 1, None


def _is_fruit(said: Words, place: int) -> bool:
    """Whether the word "orange" is the fruit: not right before a name, and after a word that goes before a name."""
    if place + 1 < len(said) and _name_at(said, place + 1)[1] is not None:
        return False
    return len(said) == 1 or (place > 0 and said[place - 1] in _BEFORE_FRUIT)


def named(said: Words) -> list[str]:
    """The things and shapes that a text says are there: "no cat" names none."""
    return [name for name, place in mentions(said) if not _is_denied(said, place)]


def _is_denied(said: Words, place: int) -> bool:
    before = said[max(place - 2, 0) : place]
    if not before:
        return False
    return before[-1] in ("no", "without", "not") or (before[0] == "not" and before[-1] in ("a", "an", "the"))


def called(name: str) -> str:
    """The plain name of a thing that goes by this word; the word itself where there is none."""
    return _named_by().get(tokens(name), name)


# --- answers ---


def answers_right(expected: Answer, text: str, *, question: str = "", scene: Scene | None = None) -> bool:
    """Whether an answer says what it must.

    Args:
        question: what was asked: things that it names may be named in the answer too.
        scene: what the picture in view shows, for captions.
    """
    said = tokens(text)
    if not said or any(_says(word, said) for word in expected.none_of):
        return False
    if expected.any_of and not any(_says(word, said) for word in expected.any_of):
        return False
    if not all(_says(word, said) for word in expected.all_of):
        return False
    checks = [
        expected.number is None or number_of(text) == expected.number,
        expected.yes is None or yes_or_no(text) == expected.yes,
        expected.names is None or _names_right(expected.names, said, question),
        expected.place is None or place_of(said) == expected.place,
        expected.style is None or _classes(said, "style_adjectives", _MORE_STYLES) == {expected.style},
        expected.size is None or _classes(said, "sizes", _MORE_SIZES) == {expected.size},
        expected.colour is None or _classes(said, "colours", {}) == {expected.colour},
        expected.background is None or expected.background in _backgrounds(said),
        not expected.caption or (scene is not None and _caption_right(scene, said)),
        not expected.talk or not refuses(text),
        not expected.cannot_read or cannot_read(text),
    ]
    return all(checks)


def _says(word: str, said: Words) -> bool:
    """Whether a word occurs; a name does so where that thing is meant, not within another name."""
    wanted = tokens(word)
    if wanted in _named_by():
        return _named_by()[wanted] in [name for name, _ in mentions(said)]
    return occurs(word, said)


def _names_right(names: Sequence[str], said: Words, question: str) -> bool:
    found, wanted = named(said), {called(name) for name in names}
    if not wanted:
        return bool(set(said) & (_NONE | _DENIED)) and set(found) <= _asked(question)
    extra = set(found) - wanted
    if not wanted <= set(found) or extra - _asked(question):
        return False
    choice = bool(wanted & _asked(question))
    return not extra or not choice or (found[0] in wanted and bool(_COMPARING & set(said)))


def _asked(question: str) -> set[str]:
    return {name for name, _ in mentions(tokens(question))}


def number_of(text: str) -> int | None:
    """The number that an answer gives: what stands after a colon, or the only one; None if it is not clear."""
    counted = text.rpartition(":")[2]
    found = _numbers(tokens(counted)) or _numbers(tokens(text))
    if ":" in text and found:
        return found[-1]
    if len(set(found)) <= 1:
        return found[0] if found else 0 if set(tokens(text)) & _NONE else None
    return found[0]


def _numbers(said: Words) -> list[int]:
    return [
        int(word) if word.isdecimal() else _NUMBERS.index(word) for word in said if word.isdecimal() or word in _NUMBERS
    ]


def yes_or_no(text: str) -> bool | None:
    """Whether an answer says yes: by itself ("a drum: one. Yes."), first of all, or by what it states; else None."""
    clauses = [tokens(clause) for clause in "".join("\n" if each in ".,:;!?" else each for each in text).splitlines()]
    alone = [clause[0] for clause in clauses if len(clause) == 1 and clause[0] in _YES | _NO]
    said = tokens(text)
    if alone or said[0] in _YES:
        return (alone[-1] if alone else said[0]) in _YES
    if _DENIED & set(said):
        return False
    return True if any(said[: len(tokens(start))] == tokens(start) for start in _STATED) else None


def place_of(said: Words) -> str | None:
    """The first place that an answer names, of the nine; None if it names none. "Right in the middle" is no side."""
    said = tuple(
        word for place, word in enumerate(said) if word != "right" or not _MIDDLE & set(said[place + 3 : place + 4])
    )
    down = next((_SIDES[word] for word in said if _SIDES.get(word) in ("top", "bottom")), None)
    across = next((_SIDES[word] for word in said if _SIDES.get(word) in ("left", "right")), None)
    if down or across:
        return " ".join(filter(None, (down, across)))
    return "center" if _MIDDLE & set(said) else None


def _classes(said: Words, group: str, more: Mapping[str, Words]) -> set[str]:
    """Of the values of a group of phrases.yaml, those that occur."""
    known: Mapping[str, Iterable[str]] = read_phrases()[group]
    return {
        value
        for value, words in known.items()
        if any(occurs(word, said) for word in (value, *words, *more.get(value, ())))
    }


def _backgrounds(said: Words) -> set[str]:
    """The backgrounds that an answer may mean."""
    found = {name for name in BACKGROUNDS if occurs(name, said)}
    for name, words in read_phrases()["backgrounds"].items():
        if any(occurs(word, said) for word in (*words["noun"], *words["on"])):
            found.add(name)
    return found


def _caption_right(scene: Scene, said: Words) -> bool:
    there = {item.name for item in scene.items}
    found = set(named(said))
    return there <= found and found - there <= _as_background(scene)


def _as_background(scene: Scene) -> set[str]:
    """Names that a background may be told with: stars at night, an island in the sea."""
    return {
        "night": {"star"}, "snow": {"snowflake", "mountain"}, "sea": {"island"}, "beach": {"sun", "palm tree"},
        "meadow": {"tree", "sprout"}, "room": {"house"},
    }.get(scene.background, set())  # fmt: skip


def refuses(text: str) -> bool:
    """Whether an answer to small talk turns the person away: it says sorry that it cannot, and offers nothing."""
    said = tokens(text)
    offers = {"draw", "drawing", "picture", "pictures", "say", "try", "help", "again", "undo", "program"} & set(said)
    return bool({"cannot", "can't", "unable", "couldn't"} & set(said)) and not offers


def cannot_read(text: str) -> bool:
    """Whether an answer says that a picture cannot be read."""
    return bool(_SAYS_CANNOT & set(tokens(text)))


def declines(text: str) -> bool:
    """Whether words decline a request, or ask back: anything that does not claim to have done it."""
    said = tokens(text)
    return bool(said) and not any(said[: len(tokens(done))] == tokens(done) for done in _DONE) and said[0] not in _YES
