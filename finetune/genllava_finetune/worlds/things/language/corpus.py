"""Sentences as people type them: the frames of corpus/, filled.

A file of corpus/ holds intents; an intent holds registers (plain, terse, chatty, polite, odd, typo); a register holds
frames: sentences with slots, `how many {things} are there?`. The frames of one intent in one register are a *family*.
The research recipe leaves some families out of training, to see whether a model understands forms of sentences that
it has never read; these are the withheld families, the same in every process.
"""

from __future__ import annotations

import random
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

from genllava.errors import InvalidRequest
from genllava_finetune.worlds.stable_hash import stable_hash
from genllava_finetune.worlds.things.language.agreement import agreeing
from genllava_finetune.worlds.things.language.typed import as_typed, cleaned

__all__ = ["Frame", "as_typed", "frames", "intents", "reply", "say", "unknown_things", "withheld_frames"]

_WITHHELD: Final = 15
"""Families of a hundred that the research recipe leaves out."""
_UNKNOWN: Final = "unknown"
"""The file that has no intents: things that the assistant does not know, and what it says in words."""


@dataclass(frozen=True, slots=True)
class Frame:
    """A sentence with slots.

    Attributes:
        text: the sentence; `{the}` is a slot.
        intent: what it asks for.
        register: how it is put.
    """

    text: str
    intent: str
    register: str

    @property
    def family(self) -> str:
        """What is withheld or not as one."""
        return f"{self.intent}/{self.register}"


def intents() -> tuple[str, ...]:
    """All that the corpus has sentences for."""
    return tuple(_by_intent())


@lru_cache(maxsize=1024)
def frames(intent: str, withhold: bool = False) -> tuple[Frame, ...]:
    """The frames of an intent; those of the withheld families are left out if `withhold`.

    Raises:
        InvalidRequest: the corpus has no such intent.
    """
    found = _by_intent().get(intent)
    if found is None:
        raise InvalidRequest(f"the corpus has no intent {intent!r}")
    left_out = _withheld_families(intent) if withhold else frozenset()
    return tuple(frame for frame in found if frame.family not in left_out)


@lru_cache(maxsize=512)
def withheld_frames(intent: str) -> tuple[Frame, ...]:
    """The frames of an intent that are withheld; there may be none."""
    left_out = _withheld_families(intent)
    return tuple(frame for frame in frames(intent) if frame.family in left_out)


def say(
    source: random.Random,
    intent: str,
    slots: Mapping[str, str],
    *,
    withhold: bool = False,
    only_withheld: bool = False,
) -> str:
    """A random sentence for an intent, as somebody might type it.

    Args:
        slots: what fills the slots; that of `text` comes out letter by letter as it is given.
        withhold: without the withheld families.
        only_withheld: of these alone; of all where the intent has none.

    Raises:
        InvalidRequest: the corpus has no such intent, or a slot is not given.
    """
    choice = withheld_frames(intent) if only_withheld else ()
    choice = choice or frames(intent, withhold)
    frame = choice[int(source.random() * len(choice))]
    try:
        text = cleaned(agreeing(frame.text, slots).format_map(slots))
    except KeyError as missing:
        raise InvalidRequest(f"the slot {missing} of {frame.text!r} is not given") from missing
    kept, slips = slots.get("text", ""), frame.register != "typo"
    return as_typed(source, text, kept=kept, slips=slips, loud=is_loud(frame.text))


@lru_cache(maxsize=1)
def unknown_things() -> tuple[str, ...]:
    """Things that the assistant does not know, with their articles."""
    return tuple(_read(_UNKNOWN)["unknown"])


def reply(source: random.Random, key: str, **slots: str) -> str:
    """What the assistant says in words, where it chats or declines.

    Raises:
        InvalidRequest: there is no such reply, or none of it can be said with these slots.
    """
    possible = _replies(key, frozenset(slots))
    if not possible:
        raise InvalidRequest(f"there is no reply {key!r} with the slots {sorted(slots)}")
    return possible[int(source.random() * len(possible))].format_map(slots)


@lru_cache(maxsize=256)
def _replies(key: str, slots: frozenset[str]) -> tuple[str, ...]:
    listed = _read(_UNKNOWN)["replies"].get(key, ())
    return tuple(each for each in listed if slots_of(each) <= slots)


@lru_cache(maxsize=16384)
def slots_of(text: str) -> frozenset[str]:
    """The names of the slots of a frame."""
    return frozenset(part.partition("}")[0] for part in text.split("{")[1:])


@lru_cache(maxsize=16384)
def is_loud(text: str) -> bool:
    """Whether a frame is written in capitals."""
    return sum(letter.isupper() for letter in text) > 6 and not any(
        part.rpartition("}")[2].upper() != part.rpartition("}")[2] for part in text.split("{")
    )


def _folder() -> Path:
    return Path(__file__).with_name("corpus")


@lru_cache(maxsize=32)
def _read(name: str) -> Any:
    import yaml

    text = (_folder() / f"{name}.yaml").read_text(encoding="utf-8")
    return yaml.load(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))


@lru_cache(maxsize=1)
def _by_intent() -> Mapping[str, tuple[Frame, ...]]:
    found = dict[str, tuple[Frame, ...]]()
    for file in sorted(_folder().glob("*.yaml")):
        if file.stem == _UNKNOWN:
            continue
        for intent, registers in _read(file.stem).items():
            listed = [Frame(text, intent, register) for register, texts in registers.items() for text in texts]
            found[intent] = (*found.get(intent, ()), *listed)
    return MappingProxyType(found)


@lru_cache(maxsize=512)
def _withheld_families(intent: str) -> frozenset[str]:
    return choose_withheld({frame.family for frame in frames(intent)})


def choose_withheld(families: Collection[str]) -> frozenset[str]:
    """Which of the families of an intent are withheld: by their names alone, and never all of them."""
    chosen = [family for family in sorted(families, key=stable_hash) if stable_hash(family) % 100 < _WITHHELD]
    return frozenset(chosen if len(chosen) < len(families) else chosen[1:])
