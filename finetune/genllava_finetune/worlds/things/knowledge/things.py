"""What is known about things: their names, colours and facts, from things.yaml."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

from genllava.errors import InvalidRequest

STYLES: Final = ("flat", "3d", "cartoon")
"""In which things are drawn."""


@dataclass(frozen=True, slots=True)
class Thing:
    """A thing of the world.

    Attributes:
        name: the word for it.
        file: the name of its drawings.
        category: the one it belongs to; `categories()` has words for them.
        hexcode, label: of its drawing, as emojibase names it.
        plural: what two of it are called.
        article: what stands before `name`: a, an, the, "a pair of".
        many: whether `name` is itself a plural: "the glasses are".
        synonyms: other words for it.
        colours: its main colour in each of `STYLES`; empty where it has none.
        recolour: whether that colour can be turned into another.
        facts: what is true of it, in words of `facts()`.
        unsure: facts and categories about which nothing is to be asked or said.
    """

    name: str
    file: str
    category: str
    hexcode: str
    label: str
    plural: str
    article: str
    many: bool = False
    synonyms: tuple[str, ...] = ()
    colours: tuple[str, ...] = ()
    recolour: bool = False
    facts: frozenset[str] = frozenset()
    unsure: frozenset[str] = frozenset()

    @property
    def colour(self) -> str | None:
        """Its main colour, where all styles have the same."""
        return self.colours[0] if len(set(self.colours)) == 1 else None

    def colour_in(self, style: str) -> str | None:
        """Its main colour in one of `STYLES`."""
        return self.colours[STYLES.index(style)] if self.colours else None

    def holds(self, what: str) -> bool | None:
        """Whether a fact or a category is true of it; None where people would argue.

        Raises:
            InvalidRequest: there is no such fact and no such category.
        """
        if what not in facts() and what not in categories():
            raise InvalidRequest(f"there is no fact and no category {what!r}")
        return None if what in self.unsure else what in self.facts or what == self.category


def things() -> tuple[Thing, ...]:
    """All things, in the order of the file."""
    return tuple(_by_name().values())


def thing(name: str) -> Thing:
    """The thing of that name.

    Raises:
        InvalidRequest: there is none.
    """
    found = _by_name().get(name)
    if found is None:
        raise InvalidRequest(f"there is no thing {name!r}")
    return found


def by_word(word: str) -> Thing | None:
    """The thing that a word names, in any case of letters: its name, a synonym, or the plural of one."""
    return _by_word().get(" ".join(word.lower().split()))


def words() -> Mapping[str, Thing]:
    """All words that name a thing, in small letters."""
    return _by_word()


@lru_cache(maxsize=8)
def things_of(count: int) -> tuple[Thing, ...]:
    """The first so many things in the order in which they are learnt (`order.yaml`).

    Raises:
        InvalidRequest: there are not so many.
    """
    import yaml

    known = {each.name: each for each in things()}
    listed = yaml.safe_load(Path(__file__).with_name("order.yaml").read_text(encoding="utf-8"))
    names = [name for group in listed.values() for name in group]
    ordered = [known[name] for name in names] + [each for each in things() if each.name not in names]
    if not 1 <= count <= len(ordered):
        raise InvalidRequest(f"there are {len(ordered)} things: choose from 1 to {len(ordered)}, not {count}")
    return tuple(ordered[:count])


@lru_cache(maxsize=1)
def facts() -> Mapping[str, str]:
    """The facts that things can have, each with the sentence that it stands for."""
    return MappingProxyType(dict(_read()["facts"]))


@lru_cache(maxsize=1)
def categories() -> Mapping[str, tuple[str, ...]]:
    """The words for each category, one and many; empty where there are none to ask with."""
    return MappingProxyType({name: tuple(found) for name, found in _read()["categories"].items()})


def plural_of(word: str) -> str:
    """The regular plural of a word."""
    if word.endswith(("s", "x", "z", "ch", "sh")):
        return f"{word}es"
    if word.endswith("y") and word[-2:-1] not in "aeiou":
        return f"{word[:-1]}ies"
    return f"{word}s"


@lru_cache(maxsize=1)
def _read() -> Any:
    import yaml

    text = Path(__file__).with_name("things.yaml").read_text(encoding="utf-8")
    return yaml.load(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))


@lru_cache(maxsize=1)
def _by_name() -> Mapping[str, Thing]:
    return MappingProxyType({each["name"]: _thing(each) for each in _read()["things"]})


def _thing(says: Mapping[str, Any]) -> Thing:
    given = dict(says)
    colour = given.pop("colour", None)
    colours = () if colour is None else tuple(colour if isinstance(colour, str) else colour[style] for style in STYLES)
    given.setdefault("article", "an" if given["name"][0] in "aeiou" else "a")
    given["synonyms"] = tuple(given.get("synonyms", ()))
    for field in ("facts", "unsure"):
        given[field] = frozenset(given.get(field, ()))
    return Thing(**given, colours=colours)


@lru_cache(maxsize=1)
def _by_word() -> Mapping[str, Thing]:
    found = dict[str, Thing]()
    for each in things():  # a word of its own first: the plural of another thing's synonym never takes it
        for word in (each.name, each.plural, *each.synonyms):
            found[word.lower()] = each
    for each in things():
        for word in each.synonyms:
            found.setdefault(plural_of(word.lower()), each)
    return MappingProxyType(found)
