"""Sentence frames: what people say in many forms, in data files whose slots any world fills.

A file of `worlds/frames/` holds *parts* and *intents*:

    parts:
      tell: "(tell me|do you know|i want to know)"
    intents:
      ask.count:
        - "how many {nps} (are there|do you see) {here}"
        - "<tell> how many {nps} there are {here}"

A pattern is text with alternatives, `(a|b|)`, and slots, `{nps}`, as `grammar.py` reads them; `<tell>` stands for the
part of this name, and where the file has none, for the words of the world (`<noun>` for shapes is `shape`). Instead of
a list of patterns an intent may be

    each: [left, right]         one intent for each name, `ask.relation.left`, with `<each>` for the part of this name;
    patterns: [...]

    counts: {2: two, 3: three}  one intent for each number of requests in a message, `tasks.order.2`. `{first}`,
    patterns: [...]             `{next}` and `{last}` become `{a}`, `{b}` and so on; what is in `[ ]` is repeated for
                                all between the first and the last, `#` counts, `<count>` is the number in words;

    imperatives: [...]          two intents: `NAME.short`, the bare imperatives, which can be strung together, and
    others: [...]               `NAME`, these with `<polite>` before or `please` after some of them, and the others.

`include` names another intent of the file whose patterns come first.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator, Mapping
from importlib import resources
from typing import Any, Final

import yaml

from genllava_finetune.worlds.grammar import Instruction, Intent

_PART: Final = re.compile(r"<(\w+)>")
_REQUEST: Final = re.compile(r"\{(?:first|next|last)\}")


def load_frames(name: str, words: Mapping[str, str] | None = None) -> dict[str, Intent]:
    """The intents of `worlds/frames/NAME.yaml`, by name.

    Args:
        words: of the world, for the parts that the file leaves open.

    Raises:
        KeyError: a pattern has a part that neither the file nor the world knows.
    """
    content = read_frames(name)
    parts = {**(words or {}), **content.get("parts", {})}
    patterns: dict[str, list[str]] = {}
    for intent, frame in content["intents"].items():
        patterns |= _variants(intent, frame, content["intents"])
    return {key: Intent(key, [_with_parts(each, parts) for each in some]) for key, some in patterns.items()}


def read_frames(name: str) -> Any:
    """The content of `worlds/frames/NAME.yaml`."""
    file = resources.files("genllava_finetune.worlds") / "frames" / f"{name}.yaml"
    return yaml.safe_load(file.read_text(encoding="utf-8"))


def instruction(frames: Mapping[str, Intent], name: str) -> Instruction:
    """The bare imperatives and all forms of an operation, where its frame has `imperatives`."""
    return Instruction(frames[f"{name}.short"], frames[name])


def _variants(name: str, frame: Any, intents: Mapping[str, Any]) -> Iterator[tuple[str, list[str]]]:
    """(name, patterns) of every intent that a frame stands for."""
    if isinstance(frame, list):
        yield name, frame
        return
    if "imperatives" in frame:
        bare = frame["imperatives"]
        after = [f"{pattern}(,|) please" for pattern in bare[:2]]
        yield f"{name}.short", bare
        yield name, [*bare, *bare, *(f"<polite> {pattern}" for pattern in bare), *after, *frame["others"]]
        return
    patterns = [*(intents[frame["include"]]["patterns"] if "include" in frame else ()), *frame["patterns"]]
    for part in frame.get("each", ()):
        yield f"{name}.{part}", [pattern.replace("<each>", f"<{part}>") for pattern in patterns]
    for count, word in frame.get("counts", {}).items():
        yield f"{name}.{count}", [_strung(pattern, count, word) for pattern in patterns]


def _strung(pattern: str, count: int, word: str) -> str:
    """A pattern for `count` requests in one message."""
    before, _, rest = pattern.partition("[")
    middle, _, after = rest.partition("]")
    slots, numbers = iter("abcdefgh"), itertools.count(1)
    text = _REQUEST.sub(lambda _: f"{{{next(slots)}}}", before + middle * (count - 2) + after)
    return re.sub("#", lambda _: str(next(numbers)), text).replace("<count>", word)


def _with_parts(pattern: str, parts: Mapping[str, str]) -> str:
    return _PART.sub(lambda match: parts[match[1]], pattern)
