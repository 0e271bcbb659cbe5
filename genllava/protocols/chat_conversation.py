"""A conversation with a general vision-language model that draws and edits by calling the pipeline's verbs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Final, Protocol, Unpack

from PIL import Image

from genllava.errors import InvalidRequest, ModelReplyError
from genllava.options import CancelCheck, DrawingOptions, Seed
from genllava.pipeline_output import Drawing, Result, Understanding
from genllava.protocols.parts import Message, Parts
from genllava.protocols.verbs import EDIT, ToolSpec, check_call, image_name, image_number, verb_tools
from genllava.requests import Request, Seen, as_image, check_text, listed
from genllava.vision_language import PrefixCache, Reply, ToolCall

MAX_STEPS: Final = 8


@dataclass(frozen=True, slots=True)
class Mark:
    """A place in a conversation that it can go back to."""

    messages: int
    images: int


class Speaker(Protocol):
    """What a conversation needs of a protocol: see `ChatProtocol`."""

    instructions: ClassVar[str]
    parts: Parts

    def reply(
        self,
        messages: Sequence[Message],
        tools: Sequence[ToolSpec],
        *,
        on_text: Callable[[str], None] | None = None,
        cancel: CancelCheck | None = None,
        cache: PrefixCache | None = None,
    ) -> Reply:
        """What the model says next, and which tools it calls."""

    def draw(
        self, requests: Sequence[Request], prompts: Sequence[str], seed: Seed, options: DrawingOptions, *, edits: bool
    ) -> list[Drawing]:
        """Draw prompts, or edit the picture of each request."""


def as_message(call: ToolCall) -> dict[str, Any]:
    """A call as an entry of an assistant message's `tool_calls`."""
    return {"type": "function", "id": call.id, "function": {"name": call.name, "arguments": call.arguments}}


class ChatConversation:
    """Turns of a user and the model, with the pictures of both, numbered from 1 and named `image_1`, `image_2`, ...

    Attributes:
        messages: all that was said, as chat templates take it.
        images: all pictures so far; number K is `images[K - 1]`.
    """

    def __init__(self, protocol: Speaker) -> None:
        self._protocol = protocol
        self._cache = protocol.parts.vision_language.new_cache()
        told = protocol.instructions
        self.messages: list[Message] = [{"role": "system", "content": [{"type": "text", "text": told}]}] if told else []
        self.images: list[Image.Image] = []

    def ask(
        self,
        text: str,
        images: Seen | Sequence[Seen] | None = None,
        *,
        seed: Seed = None,
        max_steps: int = MAX_STEPS,
        on_text: Callable[[str], None] | None = None,
        **options: Unpack[DrawingOptions],
    ) -> list[Result]:
        """Run one turn: the model answers and draws until it says no more.

        If anything goes wrong, the conversation is as it was before.

        Args:
            images: a picture that comes with the request, or several.
            seed: of every picture of this turn.
            max_steps: more pictures than this are not made.
            on_text: called with the words of an answer so far.

        Raises:
            ImageRejected, InvalidRequest, Cancelled, NonFiniteError.
            ModelReplyError: the model called what cannot be called, and did so again after it was told.
        """
        before = self.mark()
        try:
            self._add_user(check_text(text), [as_image(source) for source in listed(images)])
            return self._run(seed, max_steps, on_text, options)
        except BaseException:
            self.rollback(before)
            raise

    def mark(self) -> Mark:
        """The present place, for `rollback`."""
        return Mark(len(self.messages), len(self.images))

    def rollback(self, mark: Mark) -> None:
        """Forget everything since `mark`; what was read before it is not read again."""
        del self.messages[mark.messages :]
        del self.images[mark.images :]

    def branch(self) -> ChatConversation:
        """A conversation of its own that goes on from here."""
        other = ChatConversation(self._protocol)
        other.messages, other.images = list(self.messages), list(self.images)
        other._cache = self._cache.copy()
        return other

    def _run(
        self, seed: Seed, max_steps: int, on_text: Callable[[str], None] | None, options: DrawingOptions
    ) -> list[Result]:
        results: list[Result] = []
        cancel, corrected = options.get("cancel"), False
        drawn = 0
        while True:
            decoder = self._protocol.parts.image_decoder
            tools = [] if decoder is None or drawn >= max_steps else verb_tools(len(self.images))
            reply = self._protocol.reply(self.messages, tools, on_text=on_text, cancel=cancel, cache=self._cache)
            self._add_assistant(reply)
            if reply.text:
                results.append(Understanding(reply.text))
            if not reply.tool_calls and not reply.invalid:
                return results
            complaints = [each.reason for each in reply.invalid]
            complaints += [check_call(tools, call.name, call.arguments) for call in reply.tool_calls]
            if complaint := next(filter(None, complaints), ""):
                if corrected:
                    raise ModelReplyError(f"the language model called a tool in a way that does not fit: {complaint}")
                corrected = True
                self._refuse(reply, complaint)
                continue
            corrected, made = False, len(self.images)
            for call in reply.tool_calls:
                if drawn < max_steps:
                    results.append(self._carry_out(call, seed, options))
                    drawn += 1
                else:
                    self._add_result(call, f"Not done: a turn makes at most {max_steps} pictures.", None)
            self._show(made)

    def _carry_out(self, call: ToolCall, seed: Seed, options: DrawingOptions) -> Drawing:
        """Draw what a call asks for; the picture joins the conversation."""
        if call.name == EDIT:
            number = image_number(call.arguments["image"], len(self.images))
            prompt = str(call.arguments["instruction"])
            request = Request(prompt, (self.images[number - 1],))
            drawing = self._protocol.draw([request], [prompt], seed, options, edits=True)[0]
            drawing = replace(drawing, source=number)
        else:
            prompt = str(call.arguments["prompt"])
            drawing = self._protocol.draw([Request(prompt)], [prompt], seed, options, edits=False)[0]
        if drawing.image is None:
            raise InvalidRequest("the image decoder made no picture")
        self.images.append(drawing.image)
        self._add_result(call, f"Done: {image_name(len(self.images))} was made.", drawing.image)
        return drawing

    def _add_user(self, text: str, images: Sequence[Image.Image]) -> None:
        blocks = self._named(images)
        self.messages.append({"role": "user", "content": [*blocks, {"type": "text", "text": text}]})

    def _named(self, images: Sequence[Image.Image]) -> list[dict[str, Any]]:
        blocks: list[dict[str, Any]] = []
        for image in images:
            self.images.append(image)
            blocks.append({"type": "text", "text": f"{image_name(len(self.images))}:"})
            blocks.append({"type": "image", "image": image})
        return blocks

    def _add_assistant(self, reply: Reply) -> None:
        message: Message = {"role": "assistant", "content": [{"type": "text", "text": reply.text}]}
        if reply.tool_calls:
            message["tool_calls"] = [as_message(call) for call in reply.tool_calls]
        self.messages.append(message)

    def _add_result(self, call: ToolCall, text: str, image: Image.Image | None) -> None:
        """What came of a call; a picture goes with it where the chat template shows pictures there."""
        content: list[dict[str, Any]] = [{"type": "text", "text": text}]
        if image is not None and self._protocol.parts.vision_language.tool_results_show_images:
            content.append({"type": "image", "image": image})
        self.messages.append({"role": "tool", "tool_call_id": call.id, "name": call.name, "content": content})

    def _show(self, before: int) -> None:
        """Show the model what its calls made, where its chat template shows no pictures in their results."""
        if self._protocol.parts.vision_language.tool_results_show_images or before == len(self.images):
            return
        made = self.images[before:]
        del self.images[before:]
        self.messages.append({"role": "user", "content": self._named(made)})

    def _refuse(self, reply: Reply, complaint: str) -> None:
        """Tell the model that its calls were not carried out, and why."""
        for call in reply.tool_calls:
            self._add_result(call, f"Not done: {complaint}", None)
        if not reply.tool_calls:
            self.messages.append({"role": "user", "content": [{"type": "text", "text": f"Not done: {complaint}"}]})
