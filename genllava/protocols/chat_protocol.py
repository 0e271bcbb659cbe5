"""What the protocols of general vision-language models share: the verbs, and the bridges to the image decoder."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import cached_property
from typing import Any, ClassVar, Final, cast

import torch

from genllava.errors import InvalidRequest
from genllava.image_decoder import DecodedImage, PromptEmbeds
from genllava.image_decoder.conditioning import call_parameters
from genllava.image_decoder.siblings import drawer_of, editor_of
from genllava.options import CancelCheck, DrawingOptions, Seed, resolve_seeds
from genllava.pipeline_output import Drawing, Stopwatch, Understanding
from genllava.protocols.base import Protocol
from genllava.protocols.chat_conversation import ChatConversation
from genllava.protocols.parts import Message, Parts, user_message
from genllava.protocols.verbs import ToolSpec
from genllava.protocols.visual_queries import fit_head, head_embeds
from genllava.requests import Request, as_image
from genllava.vision_language import PrefixCache, Reply

_OPTIONS: Final = (
    *("bridge", "callback_on_step_end", "callback_on_step_end_tensor_inputs", "cancel", "control", "control_scale"),
    *("control_guidance_start", "control_guidance_end", "control_mode", "guess_mode"),
)
"""Options of drawing that are of every pipeline, or of ControlNets beside it, whatever its call takes."""


class ChatProtocol(Protocol):
    """A language model that is spoken to through its own chat template.

    A request to draw goes to the decoder in the user's own words (`bridge="caption"`) or as hidden states at visual
    queries (`bridge="head"`). What is done in a conversation, the model decides: see `reply`.

    Attributes:
        told: what the system message of a conversation says, where pictures can be made; empty for nothing.

    Raises:
        CheckpointError: the generation head does not fit the language model or the decoder.
    """

    told: ClassVar[str] = ""

    def __init__(self, parts: Parts) -> None:
        self.parts = parts
        if parts.generation_head is not None:
            fit_head(parts.generation_head, parts.vision_language, parts.image_decoder)

    @property
    def instructions(self) -> str:
        """The system message of a conversation; empty for none."""
        return self.told if self._taken else ""

    @property
    def can_generate(self) -> bool:
        """Whether new pictures can be drawn."""
        return False in self._taken

    @property
    def can_edit(self) -> bool:
        """Whether pictures can be changed."""
        return True in self._taken

    @cached_property
    def _taken(self) -> dict[bool, set[str]]:
        """Names of the options that drawing (False) and editing (True) take; without those that cannot be done."""
        decoder, taken = self.parts.image_decoder, dict[bool, set[str]]()
        if decoder is None:
            return taken
        with suppress(InvalidRequest):
            taken[False] = {*_OPTIONS, *call_parameters(drawer_of(decoder.pipeline, decoder.editor))}
        with suppress(InvalidRequest):
            editor = editor_of(decoder.pipeline, decoder.editor, masked=False)
            taken[True] = {*_OPTIONS, *call_parameters(editor), "mask_image"} - {"height", "width"}
        return taken

    def turn_options(self, options: DrawingOptions, *, edits: bool) -> DrawingOptions:
        """Those options of a turn that a verb takes: a turn may draw and edit, and not all options are of both.

        Raises:
            InvalidRequest: neither of the verbs takes one.
        """
        known = set().union(*self._taken.values(), ("cancel", "height", "width") if self._taken else ("cancel",))
        if unknown := sorted(name for name, value in options.items() if value is not None and name not in known):
            raise InvalidRequest(f"nothing here takes the option {', '.join(unknown)}: {', '.join(sorted(known))}")
        chosen = {name: value for name, value in options.items() if name in self._taken.get(edits, ())}
        return cast(DrawingOptions, chosen)

    @abstractmethod
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
        """What the model says next, and which tools it calls.

        Args:
            messages: the conversation so far; its last message is the user's, or the result of a call.
            tools: what may be called.
            on_text: called with the words so far.
            cache: of this conversation.

        Raises:
            InvalidRequest, Cancelled, NonFiniteError.
        """

    def understand(
        self, requests: Sequence[Request], cancel: CancelCheck | None, sampling: dict[str, Any]
    ) -> list[Understanding]:
        clock = Stopwatch()
        conversations = [[self.asked(request)] for request in requests]
        replies = cast(list[Reply], self.parts.vision_language.chat(conversations, cancel=cancel, **sampling))
        clock.lap("answering")
        return [
            Understanding(
                reply.text,
                timings=clock.timings,
                unsure="" if reply.finished else f"it was cut off after {reply.new_tokens} tokens: max_new_tokens",
            )
            for reply in replies
        ]

    def generate(
        self, requests: Sequence[Request], plan: str | Sequence[str] | None, seed: Seed, options: DrawingOptions
    ) -> list[Drawing]:
        return self.draw(requests, self._prompts(requests, plan), seed, options, edits=False)

    def edit(
        self, requests: Sequence[Request], plan: str | Sequence[str] | None, seed: Seed, options: DrawingOptions
    ) -> list[Drawing]:
        return self.draw(requests, self._prompts(requests, plan), seed, options, edits=True)

    def conversation(self) -> ChatConversation:
        return ChatConversation(self)

    def asked(self, request: Request) -> Message:
        """A request as a message of the user."""
        return user_message(request.text, request.images)

    def query_prefix(self, task: str, prompt: str) -> str:
        """The assistant's words before the visual queries of a picture.

        Args:
            task: `[T2I]` or `[I2I]`.
            prompt: what it shows, or how it is changed.
        """
        return ""

    def in_context(self, said: Sequence[Message]) -> tuple[list[Message], str] | None:
        """A conversation as visual queries are read in it: the messages, and the assistant's words before the queries.

        Args:
            said: its last message is the assistant's, and calls for the picture.

        Returns:
            None where a model reads them behind the request alone: those that have not learnt to in a conversation.
        """
        return None

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
        """Draw prompts, or edit the one picture of each request.

        Args:
            prompts: of the decoder, one per request.
            said: the conversation in which a single one is drawn, up to the assistant's message that calls for it.
            cache: of that conversation.
        """
        decoder, clock = self.parts.require_decoder(), Stopwatch()
        given = {name: value for name, value in options.items() if value is not None}
        taken = self._taken.get(edits, ())
        chosen: dict[str, Any] = {k: v for k, v in self.parts.drawing_options.items() if k in taken} | given
        if "control" not in given and "control_scale" not in given:
            chosen.pop("control_scale", None)  # a default, of which there is no need here
        bridge = chosen.pop("bridge", self.parts.bridge)
        seeds = resolve_seeds(seed, len(prompts))
        words: list[str] | None = list(prompts)
        embeds = None
        if bridge == "head":
            words, embeds = None, self.prompt_embeds(requests, prompts, edits, chosen, said, cache)
        elif bridge != "caption":
            raise InvalidRequest(f"unknown bridge {bridge!r}: head or caption")
        before = decoder.counters.unet_rows
        if edits:
            sources = [as_image(request.images[0]) for request in requests]
            decoded = decoder.edit(sources, words, seeds=seeds, prompt_embeds=embeds, options=chosen)
        else:
            decoded = decoder.generate(words, seeds=seeds, prompt_embeds=embeds, options=chosen)
        rows = (decoder.counters.unet_rows - before) // max(1, len(decoded))
        clock.lap("drawing")
        each = len(decoded) // len(prompts)
        return [
            _drawing(made, prompts[number // each], 1 if edits else None, rows, clock.timings)
            for number, made in enumerate(decoded)
        ]

    @torch.no_grad()
    def prompt_embeds(
        self,
        requests: Sequence[Request],
        prompts: Sequence[str],
        edits: bool,
        options: dict[str, Any],
        said: Sequence[Message] | None = None,
        cache: PrefixCache | None = None,
    ) -> PromptEmbeds:
        """What the generation head makes of requests, with guidance's unconditional branch.

        Args:
            options: of the drawing; `negative_prompt` is taken out of them, and read by the language model as well.
            said, cache: as for `draw`.

        Raises:
            InvalidRequest: there is no generation head.
        """
        task = "[I2I]" if edits else "[T2I]"
        asked = [[self.asked(request)] for request in requests]
        prefixes = [self.query_prefix(task, prompt) for prompt in prompts]
        context = None if said is None else self.in_context(said)
        if context is not None:
            asked, prefixes = [context[0]], [context[1]]
        negative = options.pop("negative_prompt", None)
        if negative is not None and not isinstance(negative, str):
            raise InvalidRequest("with bridge='head' there is one negative_prompt for all pictures: give a string")
        refused = None if negative is None else ([user_message(negative)], self.query_prefix(task, negative))
        kept = None if context is None else cache
        return head_embeds(self.parts.vision_language, self.parts.generation_head, asked, prefixes, refused, kept)

    @staticmethod
    def _prompts(requests: Sequence[Request], plan: str | Sequence[str] | None) -> list[str]:
        """The prompts of the decoder: the plans that are given, or the requests themselves.

        Raises:
            InvalidRequest: an empty plan, or not as many plans as requests.
        """
        if plan is None:
            return [request.text for request in requests]
        plans = [plan] if isinstance(plan, str) else list(plan)
        if len(plans) != len(requests):
            raise InvalidRequest(f"{len(plans)} plans for {len(requests)} requests")
        if not all(isinstance(text, str) and text.strip() for text in plans):
            raise InvalidRequest("the plan is empty")
        return plans


def _drawing(made: DecodedImage, prompt: str, source: int | None, rows: int, timings: dict[str, float]) -> Drawing:
    return Drawing(
        made.image,
        None,
        prompt,
        made.seed,
        source,
        unet_rows=rows,
        timings=timings,
        decoder=made.pipeline,
        notes=tuple(made.notes),
    )
