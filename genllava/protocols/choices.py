"""A stock vision-language model without tools in its chat template (LLaVA-1.5): it is asked, and its answers scored.

What is done next is the likeliest of a few choices in words, with the pictures in view; what a tool is called with, the
model then writes or chooses.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, cast

from genllava.errors import Cancelled
from genllava.options import CancelCheck
from genllava.protocols.chat_protocol import ChatProtocol
from genllava.protocols.parts import Message
from genllava.protocols.turns import Turn, latest_turn
from genllava.protocols.verbs import ToolSpec
from genllava.vision_language import InvalidCall, PrefixCache, Reply, ToolCall, VisionLanguage

ANSWER: Final = "answer in words"
NOTHING: Final = "nothing more"
MAX_ARGUMENT_TOKENS: Final = 256


class ChoicesProtocol(ChatProtocol):
    """Scored choices in the place of tool calls."""

    name = "choices"

    def reply(
        self,
        messages: Sequence[Message],
        tools: Sequence[ToolSpec],
        *,
        on_text: Callable[[str], None] | None = None,
        cancel: CancelCheck | None = None,
        cache: PrefixCache | None = None,
        **sampling: Any,
    ) -> Reply:
        asked = _Asked(self.parts.vision_language, latest_turn(messages), cancel, cache, sampling)
        choice = asked.next([tool["function"] for tool in tools])
        if choice == ANSWER:
            asked.answer(on_text)
            choice = asked.next([tool["function"] for tool in tools])
        if not isinstance(choice, str):
            try:
                asked.reply.tool_calls.append(ToolCall(choice["name"], asked.arguments(choice)))
            except json.JSONDecodeError as error:
                reason = f"An argument of {choice['name']} is not JSON ({error})."
                asked.reply.invalid.append(InvalidCall(error.doc, reason))
        return asked.reply


@dataclass(slots=True)
class _Asked:
    """A turn of the user, about which the model is asked.

    Attributes:
        cancel, cache, sampling: of what it says.
        reply: what came of it so far.
    """

    vision_language: VisionLanguage
    turn: Turn
    cancel: CancelCheck | None
    cache: PrefixCache | None
    sampling: dict[str, Any]
    reply: Reply = field(default_factory=lambda: Reply(""))

    def next(self, functions: Sequence[dict[str, Any]]) -> dict[str, Any] | str:
        """What is done next: the tool that is called, `ANSWER`, or `NOTHING`."""
        words = [_label(function) for function in functions]
        words += [] if self.turn.said else [ANSWER]
        words += [NOTHING] if self.turn.said or self.turn.done else []
        question = (
            "What is to be done next, to do all that was asked and is not done yet? One of these: "
            f"{'; '.join(words)}. Reply with one of them."
        )
        best = self._likeliest(question, words)
        return functions[best] if best < len(functions) else words[best]

    def answer(self, on_text: Callable[[str], None] | None) -> None:
        """Let the model answer the user."""
        self.reply.text = self._write("", on_text, self.sampling)
        self.turn.said.append(self.reply.text)

    def arguments(self, function: Mapping[str, Any]) -> dict[str, Any]:
        """What the model calls a tool with: choices are scored, text is written, the rest is written as JSON.

        Raises:
            JSONDecodeError: what should be JSON is not.
        """
        schema, arguments = function.get("parameters") or {}, dict[str, Any]()
        limits = {"max_new_tokens": MAX_ARGUMENT_TOKENS, **self.sampling}
        for name in schema.get("required", []):
            about = schema["properties"][name]
            purpose = f"Next: {_label(function)}. {about.get('description') or name}"
            if "enum" in about:
                choices = [str(value) for value in about["enum"]]
                best = self._likeliest(f"{purpose} Which one? {', '.join(choices)}.", choices)
                arguments[name] = about["enum"][best]
                continue
            text = about.get("type", "string") == "string"
            form = "" if text else f" Write it as JSON, of the type {about.get('type', 'any')}."
            written = self._write(f"{purpose} Write only that, and nothing else.{form}", None, limits).strip()
            arguments[name] = written if text else json.loads(written)
        return arguments

    def _likeliest(self, question: str, choices: Sequence[str]) -> int:
        """The number of the choice that the model is likeliest to reply with."""
        if self.cancel is not None and self.cancel():
            raise Cancelled("cancelled while the model chose what to do")
        if len(choices) == 1:
            return 0
        gap = str(self.vision_language.template.gap)
        scores = self.vision_language.score(self.turn.asking(question), choices, prefix=gap, cache=self.cache)
        return max(range(len(scores)), key=scores.__getitem__)

    def _write(self, question: str, on_text: Callable[[str], None] | None, sampling: dict[str, Any]) -> str:
        """What the model says to a question of ours; empty: to the user."""
        written = self.vision_language.chat(
            self.turn.asking(question), on_text=on_text, cancel=self.cancel, cache=self.cache, **sampling
        )
        said = cast(Reply, written)
        self.reply.prompt_tokens = max(self.reply.prompt_tokens, said.prompt_tokens)
        self.reply.new_tokens += said.new_tokens
        return said.text


def _label(function: Mapping[str, Any]) -> str:
    """A tool in words: the first sentence of its description."""
    first = str(function.get("description") or function["name"]).split(". ")[0].strip().rstrip(".")
    return first[:1].lower() + first[1:]
