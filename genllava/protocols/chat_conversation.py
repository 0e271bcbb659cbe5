"""A conversation with a general vision-language model that draws and edits by calling the pipeline's verbs."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, Protocol, Unpack

from PIL import Image

from genllava.errors import InvalidRequest, ModelReplyError
from genllava.options import DESCRIBE, CancelCheck, DrawingOptions, Seed
from genllava.pipeline_output import Drawing, Result, Understanding
from genllava.protocols.parts import Message, Parts, named_blocks
from genllava.protocols.verbs import EDIT, RESULTS, ToolSpec, check_call, image_name, image_number, verb_tools
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

    parts: Parts

    @property
    def instructions(self) -> str:
        """The system message; empty for none."""

    @property
    def can_generate(self) -> bool:
        """Whether new pictures can be drawn."""

    @property
    def can_edit(self) -> bool:
        """Whether pictures can be changed."""

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
        """What the model says next, and which tools it calls."""

    def turn_options(self, options: DrawingOptions, *, edits: bool) -> DrawingOptions:
        """Those of a turn's options that one of the verbs takes."""

    def draw(
        self,
        requests: Sequence[Request],
        prompts: Sequence[str],
        seed: Seed,
        options: DrawingOptions,
        *,
        edits: bool,
        said: Sequence[Message] | None = None,
        cache: PrefixCache | None = None,
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
        sampling: Mapping[str, Any] | None = None,
        **options: Unpack[DrawingOptions],
    ) -> list[Result]:
        """Run one turn: the model answers and draws until it says no more.

        If anything goes wrong, the conversation is as it was before.

        Args:
            images: a picture that comes with the request, or several.
            seed: of every picture of this turn.
            max_steps: calls that are carried out; of further ones the model is told that they are not.
            on_text: called with the words of an answer so far.
            sampling: options of transformers' `generate` for all that the model writes.
            **options: of what is drawn and edited in this turn; height and width are those of new pictures.

        Raises:
            ImageRejected, InvalidRequest, Cancelled, NonFiniteError.
            ModelReplyError: the model called what cannot be called, and did so again after it was told.
        """
        for edits in (False, True):
            self._protocol.turn_options(options, edits=edits)
        before = self.mark()
        try:
            shown = [as_image(source) for source in listed(images)]
            self._add_user(check_text(text or DESCRIBE if shown else text), shown)
            return self._run(seed, max_steps, options, {"on_text": on_text, **(sampling or {})})
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

    def _run(self, seed: Seed, max_steps: int, options: DrawingOptions, sampling: dict[str, Any]) -> list[Result]:
        results: list[Result] = []
        done, corrected, stopped = 0, False, False
        while True:
            tools, cancel = self._tools(len(self.images)), options.get("cancel")
            reply = self._protocol.reply(self.messages, tools, cancel=cancel, cache=self._cache, **sampling)
            if reply.text:
                results.append(Understanding(reply.text))
            if stopped or not (reply.tool_calls or reply.invalid):
                self._add_assistant(Reply(reply.text))
                return results
            self._add_assistant(reply)
            if complaint := self._complaint(reply, options):
                if corrected:
                    raise ModelReplyError(f"the language model called a tool in a way that does not fit: {complaint}")
                corrected = True
                self._refuse(reply, complaint)
                continue
            corrected, stopped, made, said = False, done >= max_steps, list[Image.Image](), list(self.messages)
            for call in reply.tool_calls:
                if done >= max_steps:
                    self._add_result(call, f"Not done: at most {max_steps} calls of a turn are carried out.")
                    continue
                drawings = self._carry_out(call, said, seed, options)
                results += drawings
                made += [drawing.image for drawing in drawings if drawing.image is not None]
                done += 1
            self._show_made(made)

    def _tools(self, images: int) -> list[ToolSpec]:
        return verb_tools(images, self._protocol.can_generate, self._protocol.can_edit)

    def _complaint(self, reply: Reply, options: DrawingOptions) -> str:
        """What is wrong with the calls of a reply; a call may name what those before it will make."""
        for each in reply.invalid:
            return f"{each.reason} It was: {each.text}"
        defaults = self._protocol.parts.drawing_options
        pictures = int(options.get("num_images_per_prompt") or defaults.get("num_images_per_prompt") or 1)
        for number, call in enumerate(reply.tool_calls):
            tools = self._tools(len(self.images) + number * pictures)
            if complaint := check_call(tools, call.name, call.arguments):
                return complaint
        return ""

    def _carry_out(self, call: ToolCall, said: Sequence[Message], seed: Seed, options: DrawingOptions) -> list[Drawing]:
        """Draw what a call asks for; the pictures join the conversation.

        Args:
            said: the conversation up to the message with the call.
        """
        edits = call.name == EDIT
        chosen, source = self._protocol.turn_options(options, edits=edits), None
        if edits:
            source = image_number(call.arguments["image"], len(self.images))
            prompt = str(call.arguments["instruction"])
            request = Request(prompt, (self.images[source - 1],))
        else:
            prompt = str(call.arguments["prompt"])
            request = Request(prompt)
        drawings = self._protocol.draw([request], [prompt], seed, chosen, edits=edits, said=said, cache=self._cache)
        images = [drawing.image for drawing in drawings if drawing.image is not None]
        if not images:
            raise InvalidRequest("the image decoder made no picture")
        first = len(self.images) + 1
        self.images += images
        names = ", ".join(image_name(number) for number in range(first, first + len(images)))
        self._add_result(call, f"Done: {names} {'was' if len(images) == 1 else 'were'} made.", images)
        return [replace(drawing, source=source) for drawing in drawings]

    def _add_user(self, text: str, images: Sequence[Image.Image]) -> None:
        blocks = [*named_blocks(images, len(self.images) + 1), {"type": "text", "text": text}]
        self.images += images
        self.messages.append({"role": "user", "content": blocks})

    def _add_assistant(self, reply: Reply) -> None:
        message: Message = {"role": "assistant", "content": [{"type": "text", "text": reply.text}]}
        if reply.tool_calls:
            message["tool_calls"] = [as_message(call) for call in reply.tool_calls]
        self.messages.append(message)

    def _add_result(self, call: ToolCall, text: str, images: Sequence[Image.Image] = ()) -> None:
        """What came of a call; pictures go with it where the chat template shows pictures there."""
        content: list[dict[str, Any]] = [{"type": "text", "text": text}]
        if self._protocol.parts.vision_language.tool_results_show_images:
            content += [{"type": "image", "image": image} for image in images]
        self.messages.append({"role": "tool", "tool_call_id": call.id, "name": call.name, "content": content})

    def _show_made(self, made: Sequence[Image.Image]) -> None:
        """Show the model what its calls made, where its chat template shows no pictures in their results."""
        if made and not self._protocol.parts.vision_language.tool_results_show_images:
            blocks = named_blocks(made, len(self.images) - len(made) + 1)
            self.messages.append({"role": "user", "content": blocks, RESULTS: True})

    def _refuse(self, reply: Reply, complaint: str) -> None:
        """Tell the model that its calls were not carried out, and why."""
        for call in reply.tool_calls:
            self._add_result(call, f"Not done: {complaint}")
        if reply.invalid and not reply.tool_calls:
            blocks = [{"type": "text", "text": f"Not done: {complaint}"}]
            self.messages.append({"role": "user", "content": blocks, RESULTS: True})
