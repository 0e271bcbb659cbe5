"""The verbs of the shapes model: requests are laid out as tokens, looked at, planned, and drawn from their plans."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Final, overload

import torch
from torch import Tensor

from genllava.errors import CheckpointError, InvalidRequest
from genllava.images import content_key
from genllava.options import CancelCheck, DrawingOptions, Seed, resolve_seeds
from genllava.pipeline_output import Drawing, Stopwatch, Understanding
from genllava.protocols.base import Protocol
from genllava.protocols.shapes import layout, painting, segments
from genllava.protocols.shapes.captions import check_captions
from genllava.protocols.shapes.compatibility import align_weights, check_parts
from genllava.protocols.shapes.control import read_steering
from genllava.protocols.shapes.conversation import Conversation
from genllava.protocols.shapes.copying import NextRequest
from genllava.protocols.shapes.latents import Picture
from genllava.protocols.shapes.options import Settings
from genllava.protocols.shapes.parts import ShapesParts
from genllava.protocols.shapes.reading import UNREADABLE, read, why_unread
from genllava.protocols.shapes.replies import Said, checked_tasks, has_known_words, not_understood, said
from genllava.protocols.shapes.requests import Request, check_text, given_plans, task_choices
from genllava.protocols.shapes.steering import Steering
from genllava.protocols.shapes.stream import TokenStream
from genllava.protocols.shapes.tokens import BOS, I2I, I2T, SEEN, SOI, T2I
from genllava.requests import Request as PlainRequest
from genllava.requests import pair_requests

NULL_TOLERANCE: Final = 0.05
"""Relative error of the stored null conditioning; rounding to half precision stays below it."""


class ShapesProtocol(ShapesParts, Protocol):
    """A LLaVA trained on simple shapes: it notes what it sees, chooses a task token, and writes an answer or a plan.

    Args: as for `ShapesParts`.

    Raises:
        CheckpointError: the parts do not fit together.
    """

    name = "shapes"

    def __init__(self, *parts: Any) -> None:
        super().__init__(*parts)
        check_parts(self)

    # --- the null conditioning of the generation head ---

    @torch.no_grad()
    def null_embeds(self) -> Tensor:
        """[1, L, C]: what the generation head makes of a request without words, `<s> [T2I] [SOI] <query>*N`.

        Raises:
            InvalidRequest: there is no generation head.
        """
        if self.generation_head is None:
            raise InvalidRequest("this pipeline has no generation head")
        stream = TokenStream(self.language)
        stream.append(0, [self.language.id(token) for token in (BOS, T2I, SOI)])
        states = stream.query_states()
        embeds: Tensor = self.generation_head(states.to(self.generation_head.dtype))
        return embeds

    def refresh_null_embeds(self) -> None:
        """Store `null_embeds` in the generation head, after its weights or the language model's changed."""
        if self.generation_head is not None:
            self.generation_head.null_embeds.copy_(self.null_embeds())

    def before_saving(self) -> None:
        self.refresh_null_embeds()

    def after_loading(self) -> None:
        """Align the weights, and see that the stored null conditioning is what the weights make of an empty request.

        A stale one, from before further training, would spoil guidance without any error.

        Raises:
            CheckpointError: it is not.
        """
        align_weights([self.llava, self.unet, self.vae, self.text_encoder, self.generation_head])
        if self.generation_head is None:
            return
        fresh, stored = self.null_embeds().float(), self.generation_head.null_embeds.float()
        if not bool((fresh - stored).norm() <= NULL_TOLERANCE * fresh.norm()):
            raise CheckpointError("the null conditioning is stale: call refresh_null_embeds() and save again")

    # --- the verbs ---

    @torch.no_grad()
    def understand(
        self, requests: Sequence[PlainRequest], cancel: CancelCheck | None, sampling: dict[str, Any]
    ) -> list[Understanding]:
        if sampling:
            raise InvalidRequest(f"the shapes model answers greedily: leave out {', '.join(sorted(sampling))}")
        clock, admitted = Stopwatch(), self._admitted(requests)
        stream = self._open(admitted)
        seen = self._look(stream, admitted, cancel)
        rows = self._choose(stream, admitted, seen, task_choices(admitted))
        replies = self._answer(stream, admitted, seen, cancel)
        clock.lap("answering")
        return [
            Understanding(reply.text, row, clock.timings, noted, reply.unsure)
            for reply, row, noted in zip(replies, rows, seen, strict=True)
        ]

    @torch.no_grad()
    def generate(
        self, requests: Sequence[PlainRequest], plan: str | Sequence[str] | None, seed: Seed, options: DrawingOptions
    ) -> list[Drawing]:
        return self._draw(T2I, self._admitted(requests), plan, seed, options)

    @torch.no_grad()
    def edit(
        self, requests: Sequence[PlainRequest], plan: str | Sequence[str] | None, seed: Seed, options: DrawingOptions
    ) -> list[Drawing]:
        return self._draw(I2I, self._admitted(requests), plan, seed, options)

    @overload
    def next_action(
        self, request: str, images: Any = None, *, cancel: CancelCheck | None = None
    ) -> dict[str, float]: ...
    @overload
    def next_action(
        self, request: list[str], images: Any = None, *, cancel: CancelCheck | None = None
    ) -> list[dict[str, float]]: ...
    @torch.no_grad()
    def next_action(
        self, request: str | list[str], images: Any = None, *, cancel: CancelCheck | None = None
    ) -> dict[str, float] | list[dict[str, float]]:
        """Probabilities of what the model would do about a request, by task token, most likely first.

        It looks at the request first: what it sees is written down, and not returned.

        Args:
            request: one, or a list of them.
            images: for one request None, a picture or several; for a list, a list of those. Where a request has no
                picture, `[I2I]` is left out.
            cancel: asked before every token.

        Raises:
            ImageRejected, InvalidRequest, Cancelled, NonFiniteError.
        """
        requests = self._admitted(pair_requests(images, request))
        stream = self._open(requests)
        rows = self._choose(stream, requests, self._look(stream, requests, cancel), task_choices(requests))
        return rows[0] if isinstance(request, str) else rows

    def conversation(self) -> Conversation:
        return Conversation(self)

    # --- steps the verbs are made of ---

    def _admitted(self, requests: Sequence[PlainRequest]) -> list[Request]:
        return [
            Request(check_text(request.text), [self.picture(source) for source in request.images])
            for request in requests
        ]

    def _open(self, requests: Sequence[Request]) -> TokenStream:
        """Lay requests out as tokens; every distinct picture goes through the vision tower once."""
        language = self.language
        stream = TokenStream(language, len(requests))
        keys = [[content_key(picture.image) for picture in request.pictures] for request in requests]
        distinct = {
            key: picture.image
            for row, request in zip(keys, requests, strict=True)
            for key, picture in zip(row, request.pictures, strict=True)
        }
        features = dict(zip(distinct, language.encode_pictures(list(distinct.values())), strict=True))
        for row, request in enumerate(requests):
            numbers = range(1, len(keys[row]) + 1)
            turn = layout.user_turn(language.tokenizer, request.text, numbers, language.tokens_per_image)
            stream.append(row, [language.id(BOS), *turn], [features[key] for key in keys[row]])
        return stream

    def _look(self, stream: TokenStream, requests: Sequence[Request], cancel: CancelCheck | None) -> list[str]:
        """What is noted for each request, or why the picture that it is about cannot be read (see `reading`)."""
        seen = [looked.seen for looked in segments.look(stream, cancel=cancel)]
        if not self.checks_itself:
            return seen
        seen = [noted if request.pictures else "" for noted, request in zip(seen, requests, strict=True)]
        return read(self, seen, [request.pictures for request in requests], cancel)

    def _choose(
        self, stream: TokenStream, requests: Sequence[Request], seen: Sequence[str], choices: Sequence[Sequence[str]]
    ) -> list[dict[str, float]]:
        """How likely each task is, most likely first; a picture that cannot be read is not edited."""
        rows = segments.task_probabilities(stream, choices)
        if not self.checks_itself:
            return rows
        return [
            checked_tasks(row, self._knows(request), why_unread(noted))
            for row, request, noted in zip(rows, requests, seen, strict=True)
        ]

    def _answer(
        self, stream: TokenStream, requests: Sequence[Request], seen: Sequence[str], cancel: CancelCheck | None
    ) -> list[Said]:
        """What is said to each request."""
        if not self.checks_itself:
            return [Said(written.text) for written in segments.write_answers(stream, cancel)]
        understood = [row for row, request in enumerate(requests) if self._knows(request)]
        texts = segments.write_answers(stream.select(understood), cancel) if understood else []
        answers = dict(zip(understood, texts, strict=True))
        return [
            said(answers[row], len(request.pictures), why_unread(noted), bool(noted))
            if row in answers
            else not_understood()
            for row, (request, noted) in enumerate(zip(requests, seen, strict=True))
        ]

    def _left_out(self, ids: Sequence[int]) -> tuple[str, ...]:
        """What a message asks for besides the request that was taken up: a verb does one thing."""
        copy = NextRequest(self.language.tokenizer, ids)
        left = self.language.text(copy.left)
        return (f"left out, since one picture is drawn: {left!r}",) if copy.possible and len(left.split()) > 2 else ()

    def _knows(self, request: Request) -> bool:
        """Whether there are words in a request that the model knows."""
        tokenizer = self.language.tokenizer
        return has_known_words(tokenizer, layout.text_ids(tokenizer, layout.request_text(request.text)))

    def _draw(
        self,
        task: str,
        requests: Sequence[Request],
        plan: str | Sequence[str] | None,
        seed: Seed,
        options: DrawingOptions,
    ) -> list[Drawing]:
        """Let the model choose between a picture and words; plan and draw the pictures, write the words."""
        settings = Settings.resolve(self.config, options)
        seeds = resolve_seeds(seed, len(requests))
        steering = read_steering(self, settings, task, len(requests))
        given = given_plans(plan, requests)
        sources = [request.pictures[0] for request in requests] if task == I2I else None
        if given is not None and settings.bridge == "caption":
            return self._draw_plans(task, given, sources, seeds, settings, steering)
        clock = Stopwatch()
        stream = self._open(requests)
        seen = [""] * len(requests)
        if given is None or sources is not None:
            seen = self._look(stream, requests, settings.cancel)
        else:
            stream.append_all([self.language.id(SEEN)])  # there is nothing to see, and nothing to choose
        if given is None:
            chosen = self._choose(stream, requests, seen, [(task, I2T)] * len(requests))
        else:
            chosen = [{I2T: 1.0} if why_unread(noted) else {task: 1.0} for noted in seen]
        drawn = [row for row, tasks in enumerate(chosen) if next(iter(tasks)) == task]
        spoken = [row for row in range(len(requests)) if row not in drawn]
        results: dict[int, Drawing] = {}
        if spoken:
            part = [requests[row] for row in spoken], [seen[row] for row in spoken]
            replies = self._answer(stream.select(spoken), *part, settings.cancel)
            results |= {
                row: Drawing(None, reply.text, None, seeds[row], unsure=reply.unsure)
                for row, reply in zip(spoken, replies, strict=True)
            }
        if drawn:
            picked = [seeds[row] for row in drawn]
            stream = stream.select(drawn)
            noted = [layout.noted_caption(seen[row], 1) for row in drawn] if sources is not None else []
            shown = {place: caption for place, caption in enumerate(noted) if caption}
            before = stream.aside(list(shown)) if shown and settings.bridge == "head" else None
            if given is None:
                temperature = float(self.config["plan_temperature"])
                plans = segments.write_plans(stream, task, [1], picked, temperature, settings.cancel)
            else:
                plans = [segments.put_plan(stream, n, task, given[row], [1]) for n, row in enumerate(drawn)]
            states = segments.read_queries(stream) if settings.bridge == "head" else None
            clock.lap("planning")
            edited = None if sources is None else [sources[row] for row in drawn]
            unedited = segments.unedited(before, shown, plans)
            steered = None if steering is None else steering.of(drawn)
            drawings = painting.paint(self, plans, states, edited, picked, settings, unedited, steered)
            left = [self._left_out(stream.ids[n]) if given is None else () for n in range(len(drawn))]
            drawings = [replace(drawing, notes=notes) for drawing, notes in zip(drawings, left, strict=True)]
            results |= zip(drawn, drawings, strict=True)
        clock.lap("drawing" if drawn else "answering")
        return [
            replace(results[row], seen=seen[row], task_probabilities=chosen[row], timings=clock.timings)
            for row in range(len(requests))
        ]

    def _draw_plans(
        self,
        task: str,
        given: Sequence[str],
        sources: Sequence[Picture] | None,
        seeds: Sequence[int],
        settings: Settings,
        steering: Steering | None,
    ) -> list[Drawing]:
        """Draw plans that are given, in which the language model has no part; it only has to know what is edited."""
        plans = [segments.parse_plan(task, text, [1]) for text in given]
        if self.tokenizer is not None:
            check_captions(self.tokenizer, [plan.text for plan in plans])
        unread = [""] * len(plans)
        if sources is not None and self.checks_itself and not all(source.own for source in sources):
            described = [Request(layout.DESCRIBE, [source]) for source in sources]
            unread = [why_unread(noted) for noted in self._look(self._open(described), described, settings.cancel)]
        results = {
            row: Drawing(None, UNREADABLE, None, seeds[row], unsure=why) for row, why in enumerate(unread) if why
        }
        drawn = [row for row in range(len(plans)) if row not in results]
        if drawn:
            plans, picked = [plans[row] for row in drawn], [seeds[row] for row in drawn]
            edited = None if sources is None else [sources[row] for row in drawn]
            shown = {row: source.caption for row, source in enumerate(edited or []) if source.caption}
            unedited = segments.unedited(None, shown, plans)
            steered = None if steering is None else steering.of(drawn)
            drawings = painting.paint(self, plans, None, edited, picked, settings, unedited, steered)
            results |= zip(drawn, drawings, strict=True)
        return [results[row] for row in range(len(given))]
