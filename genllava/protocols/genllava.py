"""A finetuned GenLLaVA (arXiv 2406.11262): a task token says what is done, a plan says what a picture will show.

An assistant message of it, in the chat template of whatever language model it was made from:

    [I2T] A cat on a wall.[T2I] a woodcut of a cat on a wall[SOI]<query_0>...<query_N-1>[EOI]
    [I2I] image_1: make the wall blue[SOI]<query_0>...<query_N-1>[EOI]
    [TOOL] {"name": "crop", "arguments": {"image": "image_1", "box": [0, 0, 0.5, 1]}}

There is no space before these tokens, so that what comes next is always one token, and can be weighed against the end.
It goes on after an answer with another task token, or ends. After a picture or a call it ends, what came of that
follows as the user's message, and the model is asked again until it ends without doing anything more. To a picture
without a word it answers `[T2I]` and the plan by which that picture would be drawn again.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, cast

from PIL import Image

from genllava.errors import Cancelled, InvalidRequest
from genllava.options import CancelCheck, DrawingOptions, Seed
from genllava.pipeline_output import Drawing, Understanding
from genllava.protocols.chat_protocol import ChatProtocol
from genllava.protocols.parts import Message, Parts, named_blocks
from genllava.protocols.spoken import TOKENS, as_spoken
from genllava.protocols.task_tokens import I2I, I2T, SOI, T2I, TOOL
from genllava.protocols.turns import texts_of
from genllava.protocols.verbs import EDIT, GENERATE, RESULTS, ToolSpec, image_name
from genllava.requests import Request, as_image
from genllava.vision_language import InvalidCall, PrefixCache, Reply, ToolCall, VisionLanguage


@dataclass(slots=True)
class _Writer:
    """An assistant message of this model that is being written.

    Attributes:
        asked: the conversation before it.
        prefix: its words so far.
        cache: of the conversation.
        limits: of every call of `chat`: `cancel`, and sampling options.
        reply: what came of it so far.
    """

    vision_language: VisionLanguage
    asked: list[Message]
    prefix: str
    cache: PrefixCache | None = None
    limits: dict[str, Any] = field(default_factory=dict)
    reply: Reply = field(default_factory=lambda: Reply(""))

    def choose(self, allowed: Sequence[str]) -> str:
        """Go on with the likeliest of a few continuations."""
        if (cancel := self.limits.get("cancel")) is not None and cancel():
            raise Cancelled("cancelled while the model chose what to do")
        best = 0
        if len(allowed) > 1:
            scores = self.vision_language.score(self.asked, allowed, prefix=self.prefix, cache=self.cache)
            best = max(range(len(allowed)), key=scores.__getitem__)
        self.prefix += allowed[best]
        return allowed[best]

    def write(self, on_text: Callable[[str], None] | None = None) -> str:
        """Go on with text, up to the next of our tokens or the end of the message; without the space before it."""
        told = None if on_text is None else _without_ends(on_text)
        written = self.vision_language.chat(
            self.asked, prefix=self.prefix, stop=TOKENS, on_text=told, cache=self.cache, **self.limits
        )
        reply = cast(Reply, written)
        self.reply.prompt_tokens = self.reply.prompt_tokens or reply.prompt_tokens
        self.reply.new_tokens += reply.new_tokens
        text = str(self.vision_language.template.neutral(reply.text.strip()))
        self.prefix += f" {text}"
        return text


class GenLlavaProtocol(ChatProtocol):
    """Task tokens, plans and visual queries. The tokens are added to a language model that does not have them."""

    name = "genllava"

    def __init__(self, parts: Parts) -> None:
        super().__init__(parts)
        parts.vision_language.add_tokens(TOKENS)

    def understand(
        self, requests: Sequence[Request], cancel: CancelCheck | None, sampling: dict[str, Any]
    ) -> list[Understanding]:
        answers = super().understand(requests, cancel, {"prefix": self._gap + I2T, "stop": TOKENS, **sampling})
        return [replace(answer, text=answer.text.strip()) for answer in answers]

    def generate(
        self, requests: Sequence[Request], plan: str | Sequence[str] | None, seed: Seed, options: DrawingOptions
    ) -> list[Drawing]:
        return self._planned(T2I, requests, plan, seed, options)

    def edit(
        self, requests: Sequence[Request], plan: str | Sequence[str] | None, seed: Seed, options: DrawingOptions
    ) -> list[Drawing]:
        return self._planned(I2I, requests, plan, seed, options)

    def draw(
        self, requests: Sequence[Request], prompts: Sequence[str], seed: Seed, options: DrawingOptions, *,
        edits: bool, said: Sequence[Message] | None = None, cache: PrefixCache | None = None,
    ) -> list[Drawing]:  # fmt: skip
        bridge = options.get("bridge") or self.parts.drawing_options.get("bridge") or self.parts.bridge
        if edits and bridge == "caption" and not options.get("source_prompt") and "source_prompt" in self._taken[True]:
            plans = [self._plan_of(as_image(request.images[0]), options.get("cancel")) for request in requests]
            options = cast(DrawingOptions, {**options, "source_prompt": plans})
        return super().draw(requests, prompts, seed, options, edits=edits, said=said, cache=cache)

    def _plan_of(self, image: Image.Image, cancel: CancelCheck | None) -> str:
        """What a picture shows, as the plan by which it would be drawn: by it a decoder knows what an edit keeps."""
        writer = self._writer([{"role": "user", "content": named_blocks([image])}], cancel, None, {})
        writer.choose([T2I])
        return writer.write()

    def asked(self, request: Request) -> Message:
        return {"role": "user", "content": [*named_blocks(request.images), {"type": "text", "text": request.text}]}

    def query_prefix(self, task: str, prompt: str) -> str:
        return f"{self._gap}{_begin(task)} {self.parts.vision_language.template.neutral(prompt)}{SOI}"

    def in_context(self, said: Sequence[Message]) -> tuple[list[Message], str] | None:
        """As the queries stand in training: behind all that was said, and the words of the message up to `[SOI]`."""
        *before, last = as_spoken(said, self._queries)
        words = "".join(texts_of(last["content"])) if last["role"] == "assistant" else ""
        if SOI not in words:
            return None
        return before, self._gap + words[: words.rindex(SOI) + len(SOI)]

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
        offered = {tool["function"]["name"]: tool["function"] for tool in tools}
        tasks = [*([T2I] if GENERATE in offered else []), *([I2I] if EDIT in offered else [])]
        tasks += [TOOL] if set(offered) - {GENERATE, EDIT} else []
        end = self.parts.vision_language.end_token
        begun = messages[-1]["role"] == "tool" or RESULTS in messages[-1]
        writer = self._writer(as_spoken(messages, self._queries), cancel, cache, sampling)
        task = writer.choose([I2T, *tasks, *([end] if begun else [])])
        if task == I2T:
            writer.reply.text = writer.write(on_text)
            task = writer.choose([*tasks, end])
        if task != end:
            self._call(task, writer, offered)
        return writer.reply

    def length(self, messages: Sequence[Message]) -> int:
        """How many tokens a conversation has as the model reads it."""
        return self.parts.vision_language.count(as_spoken(messages, self._queries))

    @property
    def _queries(self) -> Sequence[str]:
        """Names of the visual queries that stand in the place of a picture that was made."""
        head = self.parts.generation_head
        return () if head is None else head.query_names

    @property
    def _gap(self) -> str:
        """What the chat template has before the assistant's words."""
        return str(self.parts.vision_language.template.gap)

    def _writer(
        self, asked: list[Message], cancel: CancelCheck | None, cache: PrefixCache | None, sampling: dict[str, Any]
    ) -> _Writer:
        limits = {"cancel": cancel, **sampling}
        return _Writer(self.parts.vision_language, asked, self._gap, cache, limits)

    def _call(self, task: str, writer: _Writer, offered: Mapping[str, Any]) -> None:
        """Let the model write what is called after a task token."""
        if task == I2I:
            names = offered[EDIT]["parameters"]["properties"]["image"]["enum"]
            name = writer.choose([f" {each}:" for each in names]).strip(" :")
            call = ToolCall(EDIT, {"image": name, "instruction": writer.write()})
        elif task == T2I:
            call = ToolCall(GENERATE, {"prompt": writer.write()})
        else:
            written = writer.write()
            try:
                read = json.loads(written)
                call = ToolCall(str(read["name"]), dict(read["arguments"]))
            except (ValueError, KeyError, TypeError, RecursionError):
                reason = 'a call must be JSON like {"name": ..., "arguments": {...}}.'
                writer.reply.invalid.append(InvalidCall(written, reason))
                return
        writer.reply.tool_calls.append(call)

    def _planned(
        self, task: str, requests: Sequence[Request], plan: str | Sequence[str] | None, seed: Seed,
        options: DrawingOptions,
    ) -> list[Drawing]:  # fmt: skip
        """Draw what the model plans for each request, or the plans that are given."""
        self.parts.require_decoder()
        if plan is not None:
            return self.draw(requests, self._prompts(requests, plan), seed, options, edits=task == I2I)
        plans = []
        for request in requests:
            writer = self._writer([self.asked(request)], options.get("cancel"), None, {})
            writer.choose([_begin(task)])
            plans.append(writer.write())
            if not plans[-1]:
                raise InvalidRequest(f"the language model planned nothing for {request.text!r}: give plan=")
        return self.draw(requests, plans, seed, options, edits=task == I2I)


def _without_ends(on_text: Callable[[str], None]) -> Callable[[str], None]:
    """Hears words without the white space around them, once there are some."""

    def tell(text: str) -> None:
        if text.strip():
            on_text(text.strip())

    return tell


def _begin(task: str) -> str:
    """The assistant's words before the plan of a request by itself, which has one picture to edit."""
    return f"{I2I} {image_name(1)}:" if task == I2I else task
