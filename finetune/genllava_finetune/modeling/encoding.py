"""From a row of data to what a model reads in training: the conversation as at inference, and what of it is learnt."""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Literal

from PIL import Image

from genllava.errors import CheckpointError, ImageRejected, InvalidRequest
from genllava.generation_head import GenerationHead
from genllava.images import load_image
from genllava.protocols.parts import Message, named_blocks
from genllava.protocols.spoken import TOKENS, as_spoken
from genllava.protocols.task_tokens import TASKS
from genllava.protocols.verbs import EDIT, GENERATE, RESULTS, image_name
from genllava.vision_language import VisionLanguage
from genllava_finetune.data.errors import RowError
from genllava_finetune.data.rows import Draw, Edit, Row, ToolCall, ToolResult, read_row

IGNORE: Final = -100
"""The label of a token that is not learnt."""
_SIDE_ENTRIES: Final = ("latents", "seed")
"""Entries of a row that are no part of its format: latents of its pictures, and what its noise grows from."""


@dataclass(frozen=True, slots=True, eq=False)
class Drawing:
    """A picture that the assistant makes.

    Attributes:
        plan: what it shows, or for an edit what is changed.
        target, source: the picture, and the one it is made from (None: it is new). Each is a PIL image, or a tensor of
            latents [C, h, w] as `image_latents` gives them, where a cache has them.
        learnt: whether the assistant learns to make it.
    """

    plan: str
    target: Any
    source: Any = None
    learnt: bool = True


@dataclass(frozen=True, slots=True)
class Span:
    """What the assistant says in one message, as characters `start` to `end` of the text that the model reads."""

    start: int
    end: int
    learnt: bool


@dataclass(frozen=True, slots=True, eq=False)
class Example:
    """One conversation, ready to be read.

    Attributes:
        text: as the model's chat template renders it, one placeholder for each picture.
        pictures: of the placeholders, in order.
        spans: the assistant's messages, in order.
        drawings: in the order of their visual queries.
        row_id: of the row it comes from.
        seed: what the noise of its drawings grows from; None: drawn anew each time.
        input_ids, labels: where an encoder of a world makes the tokens itself, placeholders of pictures included;
            `text` and `spans` are then not read.
    """

    text: str
    pictures: tuple[Image.Image, ...] = ()
    spans: tuple[Span, ...] = ()
    drawings: tuple[Drawing, ...] = ()
    row_id: str = ""
    seed: int | None = None
    input_ids: tuple[int, ...] | None = None
    labels: tuple[int, ...] | None = None


class RowEncoder:
    """Renders rows as `GenLlavaProtocol` renders conversations at inference.

    The user's pictures come behind their names, each call of the assistant ends its message, what came of it and the
    picture that it made are the user's next message, and where the assistant has nothing more to say after a picture,
    it learns to end at once; so it does where an empty message follows the result of a tool.

    Args:
        vision_language: gets the tokens of the protocol and of the head.
        generation_head: whose visual queries stand behind every plan; None: there are none.
        protocol: only `genllava`.
        task_token_dropout: share of the rows that are read without task tokens.
        show_last_picture: whether a picture that ends a row is shown, after which the assistant learns to end. Where
            other rows go on after pictures, it is learnt there, and left out here it saves half of the tokens.

    Raises:
        CheckpointError: another protocol, or a model that never ends an answer.
    """

    def __init__(
        self,
        vision_language: VisionLanguage,
        generation_head: GenerationHead | None = None,
        *,
        protocol: Literal["genllava"] = "genllava",
        task_token_dropout: float = 0.0,
        show_last_picture: bool = True,
    ) -> None:
        if protocol != "genllava":
            raise CheckpointError(f"rows are encoded for the protocol genllava, not for {protocol!r}")
        if vision_language.tokenizer.eos_token_id is None:
            raise CheckpointError("the tokenizer has no eos_token, by which an answer ends")
        own = generation_head is not None and generation_head.config["query_tokens"]
        self.queries: list[str] = generation_head.query_names if generation_head is not None and own else []
        if generation_head is not None and not own:
            raise CheckpointError("this generation head has queries of its own: make it with query_tokens=True")
        self.vision_language = vision_language
        self.task_token_dropout = task_token_dropout
        self.show_last_picture = show_last_picture
        vision_language.add_tokens([*TOKENS, *self.queries])

    @property
    def added_tokens(self) -> list[int]:
        """Ids of the tokens that must be trained: those of tasks and pictures, and the visual queries."""
        ids: list[int] = self.vision_language.tokenizer.convert_tokens_to_ids([*TOKENS, *self.queries])
        return ids

    def encode(self, row: Mapping[str, Any]) -> Example:
        """A row as an example.

        Args:
            row: as `read_row` takes it. Besides, it may have `latents`, one tensor [C, h, w] or None for each of its
                pictures, and `seed`, a whole number.

        Raises:
            RowError: it is malformed, a picture cannot be read, or the chat template does not take its conversation.
        """
        read = read_row({name: value for name, value in row.items() if name not in _SIDE_ENTRIES})
        images = [_picture(image, number) for number, image in enumerate(read.images)]
        template = self.vision_language.template
        talk = _Talk(images, self.vision_language, self.show_last_picture)
        talk.read(read)
        spoken = as_spoken(talk.messages, self.queries)
        if self._drops(row, read):
            spoken = [_without_tasks(message) for message in spoken]
        try:
            clean, pictures = template.checked(spoken)
            text = template.render(clean, prompt=False)
            spans = tuple(self._spans(text, clean, talk.learnt))
        except InvalidRequest as error:
            raise RowError(str(error)) from error
        text = text[: spans[-1].end] + self.vision_language.end_token
        latents = row.get("latents")
        drawings = tuple(_drawing(block, learnt, images, latents) for block, learnt in talk.drawings)
        return Example(text, tuple(pictures), spans, drawings, read.id, row.get("seed"))

    def _drops(self, row: Mapping[str, Any], read: Row) -> bool:
        source = random.Random(f"{read.id} {row.get('seed', 0)}")
        return self.task_token_dropout > 0 and source.random() < self.task_token_dropout

    def _spans(self, text: str, messages: Sequence[Message], learnt: Sequence[bool]) -> Iterator[Span]:
        """Where each message of the assistant stands, found by rendering the conversation up to it."""
        template = self.vision_language.template
        number = 0
        for index, message in enumerate(messages):
            if message["role"] != "assistant":
                continue
            before = template.render(messages[:index]) + template.gap
            said = "".join(block["text"] for block in message["content"])
            if not text.startswith(before + said):
                raise RowError(
                    f"messages.{index}: the chat template does not write this answer as the model would go on"
                )
            yield Span(len(before), len(before + said), learnt[number])
            number += 1


@dataclass(slots=True)
class _Talk:
    """A row as messages with calls, as a conversation at inference collects them.

    Attributes:
        messages: so far.
        learnt: of each of the assistant's messages, whether it is learnt.
        drawings: blocks that draw or edit, and whether they are learnt.
    """

    images: Sequence[Image.Image]
    vision_language: VisionLanguage
    show_last_picture: bool = True
    messages: list[Message] = field(default_factory=list)
    learnt: list[bool] = field(default_factory=list)
    drawings: list[tuple[Draw | Edit, bool]] = field(default_factory=list)
    _shown: int = 0
    _waiting: dict[str, tuple[ToolCall, bool]] = field(default_factory=dict)
    _drew: bool = False
    _drawn: int = 0  # messages up to the last drawing

    def read(self, row: Row) -> None:
        for number, message in enumerate(row.messages):
            if message.role == "assistant":
                self._assistant(number, message.content, message.learn)
            elif message.role == "tool":
                self._results(message.content)
            else:
                self._end_turn()
                self._asked(message.role, message.content)
        if self._drew and not self.show_last_picture:
            del self.messages[self._drawn :]
            self._drew = False
        self._end_turn()
        if self.messages[-1]["role"] != "assistant":
            raise RowError("the conversation does not end with what the assistant says")

    def _asked(self, role: str, content: Sequence[Any]) -> None:
        """Pictures go before the words, as at inference, unless they stand between them."""
        kinds = [block.type for block in content]
        texts = [index for index, kind in enumerate(kinds) if kind == "text"]
        together = bool(texts) and texts[-1] - texts[0] == len(texts) - 1
        blocks: list[dict[str, Any]] = []
        for block in sorted(content, key=lambda block: block.type == "text") if together else content:
            blocks += self._show(1) if block.type == "image" else [{"type": "text", "text": block.text}]
        if together and len(texts) > 1:
            blocks = [*blocks[: -len(texts)], _text("".join(block["text"] for block in blocks[-len(texts) :]))]
        self.messages.append({"role": role, "content": blocks})

    def _assistant(self, number: int, content: Sequence[Any], learn: bool) -> None:
        words = ""
        calls = 0
        for block in content:
            if block.type == "text":
                words += self._safe(block.text)
            elif isinstance(block, ToolCall) and self._waiting:  # one call a message: it is made after the first one
                self._waiting[block.id] = (block, learn)
            else:
                calls += 1
                self._call(block, words.strip(), learn)
                words = ""
        if words.strip():
            if self._waiting:
                raise RowError(f"messages.{number}: there are words after a tool call, before its result")
            self._say(words.strip(), learn)
        elif not calls and (self.messages[-1]["role"] == "tool" or RESULTS in self.messages[-1]):
            self._say("", learn)  # the result of the tool says it all
        elif not calls:
            raise RowError(f"messages.{number}: the assistant says nothing")

    def _call(self, block: Any, words: str, learn: bool) -> None:
        if isinstance(block, ToolCall):
            self._waiting[block.id] = (block, learn)
            self._say(words, learn, _function(block.id, block.name, self._safe(block.arguments)))
            return
        if self._waiting:
            raise RowError("a picture is made after a tool call, before its result")
        if isinstance(block, Edit):
            arguments = {"image": image_name(block.source + 1), "instruction": self._plan(block.instruction)}
            call = _function(f"call_{len(self.drawings)}", EDIT, arguments)
        else:
            call = _function(f"call_{len(self.drawings)}", GENERATE, {"prompt": self._plan(block.prompt)})
        self.drawings.append((block, learn))
        self._say(words, learn, call)
        self._drawn = len(self.messages)
        self._result(call, f"Done: {image_name(self._shown + 1)} was made.", 1)
        self._drew = True

    def _say(self, words: str, learn: bool, call: Mapping[str, Any] | None = None) -> None:
        if self.messages and self.messages[-1]["role"] == "assistant":
            raise RowError("two messages of the assistant follow each other")
        message: Message = {"role": "assistant", "content": [_text(words)]}
        if call is not None:
            message["tool_calls"] = [call]
        self.messages.append(message)
        self.learnt.append(learn)
        self._drew = False

    def _results(self, content: Sequence[Any]) -> None:
        for index, block in enumerate(content):
            if not isinstance(block, ToolResult):
                continue
            call, learn = self._waiting.pop(block.id)
            if self.messages[-1]["role"] != "assistant":
                self._say("", learn, _function(call.id, call.name, self._safe(call.arguments)))
            rest = list(content[index + 1 :])
            after = next((n for n, each in enumerate(rest) if isinstance(each, ToolResult)), len(rest))
            texts = [block.text, *(each.text for each in rest[:after] if each.type == "text")]
            shown = sum(each.type == "image" for each in rest[:after])
            self._result(_function(block.id, call.name, {}), "\n".join(filter(None, texts)), shown)

    def _result(self, call: Mapping[str, Any], text: str, pictures: int) -> None:
        """What came of a call; pictures go with it where the chat template shows pictures there."""
        content = [_text(text)]
        beside = self.vision_language.tool_results_show_images
        shown = self._show(pictures)
        if beside:
            content += [block for block in shown if block["type"] == "image"]
        name = call["function"]["name"]
        self.messages.append({"role": "tool", "tool_call_id": call["id"], "name": name, "content": content})
        if shown and not beside:
            self.messages.append({"role": "user", "content": shown, RESULTS: True})

    def _end_turn(self) -> None:
        """After a picture the assistant is asked again: here it says nothing more."""
        if self._drew:
            self._say("", self.learnt[-1])
        if len(self._waiting) > 1:
            raise RowError("there are several tool calls without results")
        self._waiting.clear()

    def _show(self, count: int) -> list[dict[str, Any]]:
        first, self._shown = self._shown, self._shown + count
        return named_blocks(self.images[first : first + count], first + 1)

    def _plan(self, words: str) -> str:
        if not words.strip():
            raise RowError("the plan of a picture is empty")
        return str(self._safe(words.strip()))

    def _safe(self, value: Any) -> Any:
        return self.vision_language.template.neutral(value)


def _text(words: str) -> dict[str, Any]:
    return {"type": "text", "text": words}


def _function(key: str, name: str, arguments: Mapping[str, Any]) -> dict[str, Any]:
    return {"type": "function", "id": key, "function": {"name": name, "arguments": arguments}}


def _without_tasks(message: Message) -> Message:
    """A message of the assistant without its task tokens; nothing else spells them out."""
    if message["role"] != "assistant":
        return message
    (block,) = message["content"]
    words = block["text"]
    for token in TASKS:
        words = words.replace(f"{token} ", "")
    return {**message, "content": [_text(words)]}


def _drawing(block: Draw | Edit, learnt: bool, images: Sequence[Image.Image], latents: Any) -> Drawing:
    def of(index: int) -> Any:
        cached = None if latents is None else latents[index]
        return images[index] if cached is None else cached

    index = block.image or 0
    if isinstance(block, Edit):
        return Drawing(block.instruction.strip(), of(index), of(block.source), learnt)
    return Drawing(block.prompt.strip(), of(index), None, learnt)


def _picture(image: Any, number: int) -> Image.Image:
    if isinstance(image, Mapping):  # as `datasets` has an Image feature that is not decoded
        image = image.get("path") if image.get("bytes") is None else image["bytes"]
    try:
        return load_image(image)
    except (ImageRejected, InvalidRequest) as error:
        raise RowError(f"images.{number}: {error}") from error
