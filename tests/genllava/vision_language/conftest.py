"""Small random checkpoints in public layouts, written once a session, and conversations to have with them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from benchmarks.layouts.vision_language import LAYOUTS
from genllava.vision_language import VisionLanguage

Message = dict[str, Any]


def say(role: str, *content: str | Image.Image) -> Message:
    blocks = [{"type": "text", "text": c} if isinstance(c, str) else {"type": "image", "image": c} for c in content]
    return {"role": role, "content": blocks}


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """The folder of a layout's checkpoint."""
    root = tmp_path_factory.mktemp("layouts")

    def of(name: str) -> Path:
        if not (root / name).exists():
            LAYOUTS[name](root / name)
        return root / name

    return of


@pytest.fixture(scope="session")
def spoken(checkpoint: Callable[[str], Path]) -> Callable[[str], VisionLanguage]:
    """A layout's model, loaded once; its counters go on from test to test."""
    loaded: dict[str, VisionLanguage] = {}

    def of(name: str) -> VisionLanguage:
        if name not in loaded:
            loaded[name] = VisionLanguage.from_pretrained(checkpoint(name))
        return loaded[name]

    return of


@pytest.fixture(scope="session")
def pictures() -> list[Image.Image]:
    """Noise in several sizes and aspects; the first and the last differ only in what they show."""
    source = np.random.default_rng(0)
    sizes = [(64, 48), (40, 90), (33, 32), (120, 60), (64, 48)]
    return [Image.fromarray(source.integers(0, 255, (h, w, 3), dtype=np.uint8)) for w, h in sizes]


@pytest.fixture(scope="session")
def talks(pictures: list[Image.Image]) -> list[list[Message]]:
    """Twenty conversations: pictures or none, turns, scripts, code, line breaks."""
    a, b, c, d, e = pictures
    words = [
        "Hello",
        "What is in a picture? 这张图片里有什么？ ما هذا؟ Что это? 🙂👩‍👩‍👧",
        "```python\ndef f(x):\n\treturn x**2  # {'a': [1, 2]}\n```\n\n  indented\r\nthen",
        "NO PARKING: <b>$\\frac{a}{b}^2 + x_1$</b> & \"quotes\" 'n' %s {{ braces }} {% raw %}",
        "describe the red circle " * 12,
    ]
    single = [[say("user", text)] for text in words]
    single += [[say("user", picture, "What is shown?")] for picture in pictures]
    single += [[say("user", "Look:", a, "and", b, "which is larger?")], [say("user", c, d, e, "compare them")]]
    single += [[say("user", "a question before", d)], [say("user", e)]]
    turns = [
        [say("user", "hi"), say("assistant", "hello, what can I do?"), say("user", "count to three")],
        [say("user", a, "what?"), say("assistant", "a cat\n\n- black\n- small"), say("user", "and behind it?")],
        [say("user", "hi"), say("assistant", "yes?"), say("user", b, "this one")],
        [
            say("user", a, "one"),
            say("assistant", "ok"),
            say("user", e, "two"),
            say("assistant", "ok"),
            say("user", "?"),
        ],
        [say("user", c, c, "the same twice"), say("assistant", "yes"), say("user", c, "and again")],
        [say("user", words[2], d), say("assistant", words[1]), say("user", words[3])],
    ]
    return single + turns
