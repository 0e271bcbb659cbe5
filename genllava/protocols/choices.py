"""A stock vision-language model without tools in its chat template (LLaVA-1.5): it is asked, and its answers scored.

What is done next is the likeliest of a few choices in words, with the pictures in view; what a tool is called with, the
model then writes or chooses.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, cast

from genllava.errors import ModelReplyError
from genllava.options import CancelCheck
from genllava.protocols.chat_protocol import ChatProtocol
from genllava.protocols.parts import Message
from genllava.protocols.turns import Turn, latest_turn
from genllava.protocols.verbs import ToolSpec
from genllava.vision_language import PrefixCache, Reply, ToolCall

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
        turn, said = latest_turn(messages), Reply(text="")
        choice = self._choose(turn, tools, cache)
        if choice == ANSWER:
            chat = self.parts.vision_language.chat
            said = cast(Reply, chat(turn.asking(), on_text=on_text, cancel=cancel, cache=cache, **sampling))
            turn.said.append(said.text)
            choice = self._choose(turn, tools, cache)
        if isinstance(choice, str):
            return said
        arguments = self._arguments(turn, choice, cancel, cache, sampling)
        return Reply(said.text, [ToolCall(choice["name"], arguments)], raw=said.raw)

    def _choose(self, turn: Turn, tools: Sequence[ToolSpec], cache: PrefixCache | None) -> dict[str, Any] | str:
        """What is done next: the tool that is called, `ANSWER`, or `NOTHING`."""
        functions = [tool["function"] for tool in tools]
        words = [_label(function) for function in functions]
        words += [] if turn.said else [ANSWER]
        words += [NOTHING] if turn.said or turn.done else []
        best = 0
        if len(words) > 1:
            question = (
                "What is to be done next, to do all that was asked and is not done yet? One of these: "
                f"{'; '.join(words)}. Reply with one of them."
            )
            scores = self.parts.vision_language.score(turn.asking(question), words, cache=cache)
            best = max(range(len(words)), key=scores.__getitem__)
        return functions[best] if best < len(functions) else words[best]

    def _arguments(
        self,
        turn: Turn,
        function: Mapping[str, Any],
        cancel: CancelCheck | None,
        cache: PrefixCache | None,
        sampling: dict[str, Any],
    ) -> dict[str, Any]:
        """What the model calls a tool with: choices are scored, text is written, the rest is written as JSON.

        Raises:
            ModelReplyError: what should be JSON is not.
        """
        vision_language, arguments = self.parts.vision_language, dict[str, Any]()
        limit = {"max_new_tokens": MAX_ARGUMENT_TOKENS, **sampling}
        required = function["parameters"].get("required", [])
        for name, schema in function["parameters"].get("properties", {}).items():
            if name not in required:
                continue
            purpose = f"Next: {_label(function)}. {schema.get('description') or name}"
            if "enum" in schema:
                choices = [str(value) for value in schema["enum"]]
                scores = [0.0]
                if len(choices) > 1:
                    question = f"{purpose} Which one? {', '.join(choices)}."
                    scores = vision_language.score(turn.asking(question), choices, cache=cache)
                arguments[name] = schema["enum"][max(range(len(scores)), key=scores.__getitem__)]
                continue
            form = "" if schema.get("type", "string") == "string" else f" Write it as JSON, a {schema['type']}."
            question = f"{purpose} Write only that, and nothing else.{form}"
            written = cast(
                Reply, vision_language.chat(turn.asking(question), cancel=cancel, cache=cache, **limit)
            ).text.strip()
            arguments[name] = written if not form else _read_json(name, written)
        return arguments


def _label(function: Mapping[str, Any]) -> str:
    """A tool in words: the first sentence of its description."""
    first = str(function.get("description") or function["name"]).split(". ")[0].strip().rstrip(".")
    return first[:1].lower() + first[1:]


def _read_json(name: str, written: str) -> Any:
    try:
        return json.loads(written)
    except ValueError:
        raise ModelReplyError(f"the language model wrote {written[:80]!r} for {name}, which is not JSON") from None
