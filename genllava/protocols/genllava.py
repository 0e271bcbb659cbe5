"""A finetuned GenLLaVA (arXiv 2406.11262): a task token says what is done, a plan says what a picture will show.

An assistant message of it, in the chat template of whatever language model it was made from:

    [I2T] A cat on a wall. [T2I] a woodcut of a cat on a wall [SOI]<query_0>...<query_N-1>[EOI]
    [I2I] image_1: make the wall blue [SOI]<query_0>...[EOI]
    [TOOL] {"name": "crop", "arguments": {"image": "image_1", "box": [0, 0, 0.5, 1]}}

It goes on after an answer with another task token, or ends. After a picture or a call it ends, what came of that
follows as the next message, and the model is asked again until it ends without doing anything more.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any, Final, cast

from genllava.errors import InvalidRequest
from genllava.options import CancelCheck, DrawingOptions, Seed
from genllava.pipeline_output import Drawing
from genllava.protocols.chat_protocol import ChatProtocol
from genllava.protocols.parts import Message, Parts, user_message
from genllava.protocols.task_tokens import EOI, I2I, I2T, SOI, T2I, TASKS, TOOL
from genllava.protocols.turns import latest_turn
from genllava.protocols.verbs import EDIT, GENERATE, ToolSpec
from genllava.requests import Request
from genllava.vision_language import InvalidCall, PrefixCache, Reply, ToolCall

_TOKENS: Final = (*TASKS, SOI, EOI)


class GenLlavaProtocol(ChatProtocol):
    """Task tokens, plans and visual queries. The tokens are added to a language model that does not have them."""

    name = "genllava"

    def __init__(self, parts: Parts) -> None:
        super().__init__(parts)
        parts.vision_language.add_tokens(_TOKENS)

    def generate(
        self, requests: Sequence[Request], plan: str | Sequence[str] | None, seed: Seed, options: DrawingOptions
    ) -> list[Drawing]:
        return self._planned(T2I, requests, plan, seed, options)

    def edit(
        self, requests: Sequence[Request], plan: str | Sequence[str] | None, seed: Seed, options: DrawingOptions
    ) -> list[Drawing]:
        return self._planned(I2I, requests, plan, seed, options)

    def query_prefix(self, task: str, prompt: str) -> str:
        return f"{task} {prompt} {SOI}"

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
        turn = latest_turn(messages)
        asked, offered = turn.asking(), {tool["function"]["name"]: tool["function"] for tool in tools}
        tokens = [I2T, *([T2I] if GENERATE in offered else []), *([I2I] if EDIT in offered else [])]
        tokens += [TOOL] if set(offered) - {GENERATE, EDIT} else []
        prefix, said = "", ""
        end = self.parts.vision_language.end_token
        while True:
            allowed = [token for token in tokens if token != I2T or not (said or turn.said)]
            allowed += [end] if said or turn.said or turn.done else []
            task = self._next(asked, allowed, prefix, cache)
            if task == end:
                return Reply(said)
            if task == I2T:
                said = self._write(asked, f"{I2T}", on_text, cancel, cache, sampling)
                prefix = f"{I2T} {said} "
                continue
            call = self._call(task, asked, f"{prefix}{task}", offered, cancel, cache, sampling)
            return Reply(said, [call]) if isinstance(call, ToolCall) else Reply(said, invalid=[call])

    def _call(
        self,
        task: str,
        asked: list[Message],
        prefix: str,
        offered: dict[str, Any],
        cancel: CancelCheck | None,
        cache: PrefixCache | None,
        sampling: dict[str, Any],
    ) -> ToolCall | InvalidCall:
        """What is called after a task token, or what is wrong with it."""
        if task == T2I:
            prompt = self._write(asked, prefix, None, cancel, cache, sampling)
            return ToolCall(GENERATE, {"prompt": prompt})
        if task == I2I:
            names = offered[EDIT]["parameters"]["properties"]["image"]["enum"]
            name = self._next(asked, [f" {each}:" for each in names], prefix, cache).strip(" :")
            instruction = self._write(asked, f"{prefix} {name}:", None, cancel, cache, sampling)
            return ToolCall(EDIT, {"image": name, "instruction": instruction})
        written = self._write(asked, prefix, None, cancel, cache, sampling)
        try:
            call = json.loads(written)
            return ToolCall(str(call["name"]), dict(call["arguments"]))
        except (ValueError, KeyError, TypeError):
            return InvalidCall(written, 'a call must be JSON like {"name": ..., "arguments": {...}}')

    def _next(self, asked: list[Message], allowed: Sequence[str], prefix: str, cache: PrefixCache | None) -> str:
        """The likeliest of a few continuations."""
        if len(allowed) == 1:
            return allowed[0]
        scores = self.parts.vision_language.score(asked, allowed, prefix=prefix, cache=cache)
        return allowed[max(range(len(allowed)), key=scores.__getitem__)]

    def _write(
        self,
        asked: list[Message],
        prefix: str,
        on_text: Callable[[str], None] | None,
        cancel: CancelCheck | None,
        cache: PrefixCache | None,
        sampling: dict[str, Any],
    ) -> str:
        """Text up to the next of our tokens, or the end of the message."""
        chat = self.parts.vision_language.chat
        reply = chat(asked, prefix=prefix, stop=_TOKENS, on_text=on_text, cancel=cancel, cache=cache, **sampling)
        return cast(Reply, reply).text.strip()

    def _planned(
        self, task: str, requests: Sequence[Request], plan: str | Sequence[str] | None, seed: Seed,
        options: DrawingOptions,
    ) -> list[Drawing]:  # fmt: skip
        """Draw what the model plans for each request, or the plans that are given."""
        if plan is None:
            plans = []
            for request in requests:
                asked = [user_message(request.text, request.images)]
                plans.append(self._write(asked, task, None, options.get("cancel"), None, {}))
            if empty := next((request.text for request, text in zip(requests, plans, strict=True) if not text), ""):
                raise InvalidRequest(f"the language model planned nothing for {empty!r}: give plan=")
        else:
            plans = self._prompts(requests, plan)
        return self.draw(requests, plans, seed, options, edits=task == I2I)
