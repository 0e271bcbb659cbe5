"""What is answered in words alone: small talk, requests that no picture comes of, pictures that cannot be read."""

from __future__ import annotations

from typing import Final

from genllava_finetune.worlds.things.language import corpus, phrases
from genllava_finetune.worlds.things.pictures.scene import Scene
from genllava_finetune.worlds.things.requests.asked import Asking, Request
from genllava_finetune.worlds.things.requests.requests import impossible

NO_PICTURE: Final = "There is no picture yet: show me one, or ask me to draw something."
_TALK: Final = {
    "hello": 10, "how_are_you": 5, "who_are_you": 6, "what_can_you_do": 8, "thanks": 10, "praise": 6, "complain": 6,
    "bye": 6, "joke_or_chat": 7,
}  # fmt: skip
_DECLINED: Final = {
    "outside": 24, "missing_tool": 10, "other_language": 18, "nonsense": 5, "contradiction": 3, "draw_unknown": 16,
    "add_unknown": 4,
}  # fmt: skip
_UNREAD: Final = (
    "ask_photo", "ask_photo", "ask_what_all", "ask_caption", "ask_count_all", "ask_background", "restyle_all",
)  # fmt: skip


def in_words(asking: Asking) -> Request:
    """Small talk, or a request that is declined."""
    chosen = {**_TALK, **_DECLINED}
    intent = asking.source.choices(list(chosen), list(chosen.values()))[0]
    slots = dict[str, str]()
    if intent in ("draw_unknown", "add_unknown"):
        return _unknown(asking)
    if intent == "contradiction":
        slots["a"] = phrases.new(asking.source, asking.wanted(plain=True))
    expected: dict[str, object] = {"answers": {"talk": True}} if intent in _TALK else {"declines": True}
    answer = corpus.reply(asking.source, intent)
    return Request(asking.say(intent, slots), intent, _nothing(asking), expected=expected, answer=answer)


def _unknown(asking: Asking) -> Request:
    """A thing that the assistant does not know."""
    found = impossible(asking.source, asking.scene, asking.known, "unknown", withhold=asking.withhold)
    assert found is not None
    return found


def unread(asking: Asking) -> Request:
    """A question about a photograph or another picture that is none of this world, or a change of it."""
    intent = asking.source.choice(_UNREAD)
    slots = {"style": phrases.style(asking.source, "cartoon")} if intent == "restyle_all" else {}
    expected: dict[str, object] = {"answers": {"cannot_read": True}}
    answer = corpus.reply(asking.source, "unreadable")
    return Request(asking.say(intent, slots), "unreadable", _nothing(asking), expected=expected, answer=answer)


def _nothing(asking: Asking) -> Scene:
    return asking.scene or Scene("white")
