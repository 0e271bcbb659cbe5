"""A conversation: turns and pictures on one token stream, where nothing is read, seen or encoded twice."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Final, Unpack

import torch

from genllava.errors import InvalidRequest
from genllava.options import CancelCheck, DrawingOptions, Seed, resolve_seeds
from genllava.pipeline_output import Drawing, Result, Understanding
from genllava.protocols.shapes import layout, painting, segments
from genllava.protocols.shapes.captions import check_captions
from genllava.protocols.shapes.control import read_steering
from genllava.protocols.shapes.conversation_checks import ConversationChecks
from genllava.protocols.shapes.noting import Notes, noted_captions
from genllava.protocols.shapes.options import Settings
from genllava.protocols.shapes.reading import UNREADABLE
from genllava.protocols.shapes.requests import check_text
from genllava.protocols.shapes.steering import Steering
from genllava.protocols.shapes.tokens import EOS, I2I, I2T, IMAGE, T2I, TOOL
from genllava.requests import Seen, listed

MAX_SEGMENTS: Final = 8


class Conversation(ConversationChecks):
    """Turns of a user and the model, with the pictures of both, numbered from 1.

    `ask` runs a whole turn. The steps it is made of are public too, for whoever wants to look in between:
    `add_user`, then `next_action` with `answer` or `draw` as often as wanted, then `end_turn`.

    Its memory grows with what is said and shown: pictures, their features, and the key-value cache, which `release`
    gives back.

    Attributes:
        pictures: all pictures so far; number K is `pictures[K - 1]`.
        hidden: numbers of pictures from so long ago that they can no longer be seen (see `recall`).
        request: which of several requests in a message the model last took up, `; ` between those that it meets at
            once; empty where there is but one.
        seen: what it then noted down before it acted; empty where there was nothing to see.
        acted: something was done, and what comes next has not been looked at.
    """

    def ask(
        self,
        text: str,
        images: Seen | Sequence[Seen] | None = None,
        *,
        seed: Seed = None,
        max_segments: int = MAX_SEGMENTS,
        **options: Unpack[DrawingOptions],
    ) -> list[Result]:
        """Run one turn: the model answers and draws until it says that it is done.

        If anything goes wrong, the conversation is as it was before.

        Args:
            images: a picture that comes with the request, or several.
            seed: of every picture of this turn.
            max_segments: more answers and pictures than this are not made.

        Raises:
            ImageRejected, InvalidRequest, Cancelled, NonFiniteError.
        """
        results: list[Result] = []
        with self._unchanged_by_failure():
            self.add_user(text, images, options.get("cancel"))
            while len(results) < max_segments:
                probabilities = self.next_action(cancel=options.get("cancel"))
                action = next(iter(probabilities))
                if action == EOS:
                    break
                result: Result
                if action == I2T:
                    result = self.answer(options.get("cancel"))
                else:
                    result = self.draw(action, seed=seed, **options)
                results.append(replace(result, seen=self.seen, task_probabilities=probabilities))
            self.end_turn()
        return results

    @torch.no_grad()
    def add_user(
        self, text: str, images: Seen | Sequence[Seen] | None = None, cancel: CancelCheck | None = None,
        *, look: bool = True,
    ) -> None:  # fmt: skip
        """Add a request and the pictures that come with it, and let the model look at what it is about.

        Args:
            look: without that it is only put down, for a turn that ends before it began.

        Raises:
            ImageRejected, InvalidRequest, Cancelled, NonFiniteError: nothing was added.
        """
        check_text(text)
        shown = [self._parts.picture(source) for source in listed(images)]
        first = len(self.pictures) + 1
        numbers = range(first, first + len(shown))
        language = self._language
        ids = layout.user_turn(language.tokenizer, text, numbers, language.tokens_per_image)
        with self._unchanged_by_failure():
            self.end_turn()  # what was done before belongs to an earlier request
            self._stream.append(0, ids, self._see(shown))
            self.pictures += shown
            if look:
                self._look(cancel)

    @torch.no_grad()
    def next_action(self, allowed: Sequence[str] | None = None, cancel: CancelCheck | None = None) -> dict[str, float]:
        """Probabilities of what the model would do next, by token, most likely first.

        Once something was done the model either ends the turn, and only that is returned, or takes up what else it
        was asked and looks at that, and then the turn cannot end before something is done about it.

        Args:
            allowed: the tokens to choose from. By default answering, drawing, editing if there is a picture,
                and ending the turn if something was done.

        Raises:
            InvalidRequest, Cancelled, NonFiniteError: the conversation is as it was before.
        """
        if allowed is None:
            allowed = [I2T, T2I, *([I2I] if self._visible() else []), *([EOS] if self.acted else [])]
        with self._unchanged_by_failure():
            if self.acted:
                if EOS in allowed and (len(allowed) == 1 or not segments.goes_on(self._stream)):
                    return {EOS: 1.0}
                self._look(cancel)
                allowed = [token for token in allowed if token != EOS]
            if not self._parts.checks_itself:
                return segments.task_probabilities(self._stream, [allowed])[0]
            return self._checked_action(allowed, cancel)

    @torch.no_grad()
    def answer(
        self, cancel: CancelCheck | None = None, on_text: Callable[[str], object] | None = None
    ) -> Understanding:
        """Let the model say something.

        Args:
            on_text: called with what it has said so far, token by token.

        Raises:
            InvalidRequest, Cancelled, NonFiniteError: the conversation is as it was before.
        """
        with self._unchanged_by_failure():
            if self.acted:
                self._look(cancel)
            said = self._say(cancel, on_text)
        self.acted = True
        return Understanding(said.text, unsure=said.unsure)

    @torch.no_grad()
    def draw(
        self, task: str, *, plan: str | None = None, source: int | None = None, seed: Seed = None,
        on_plan: Callable[[segments.Plan], object] | None = None, **options: Unpack[DrawingOptions],
    ) -> Drawing:  # fmt: skip
        """Let the model make a picture, which joins the conversation.

        Args:
            task: `[T2I]` for a new one, `[I2I]` to edit the one that the plan names.
            plan: what to draw, if that is not left to the model; for an edit it may begin with `image K: `.
            source: number of the picture to edit, if that is not left to the model or to the plan.
            on_plan: called with the plan before it is drawn.

        Raises:
            InvalidRequest, Cancelled, NonFiniteError: the conversation is as it was before.
        """
        settings = Settings.resolve(self._parts.config, options)
        seeds = resolve_seeds(seed, 1)
        steering = read_steering(self._parts, settings, task, 1)
        if task not in (T2I, I2I) or (task == I2I and not self._visible()):
            raise InvalidRequest(f"cannot do {task}: " + ("no picture to edit" if task == I2I else "not a drawing"))
        if source is not None and not 1 <= source <= len(self.pictures):
            raise InvalidRequest(f"there is no picture {source} to edit: there are {len(self.pictures)}")
        with self._unchanged_by_failure():
            if self.acted:
                self._look(settings.cancel)
            return self._draw(task, plan, source, seeds, settings, steering, on_plan)

    @torch.no_grad()
    def likelihood(self, task: str, plan: str, source: int | None = None) -> float:
        """How likely the model would be to plan a picture in these words now, from 0 to 1.

        It is that of the least likely token, against the likeliest in its place: what a request leaves open lowers it
        little, and what contradicts the request much.

        Args:
            task: `[T2I]` or `[I2I]`.
            source: number of the picture that is edited.

        Raises:
            InvalidRequest: too long.
        """
        prefix = "" if source is None else f"{layout.picture_prefix(source)} "
        start, *ids = layout.plan(self._language.tokenizer, task, prefix + plan)
        aside = self._stream.aside([0])
        aside.append(0, [start])
        return float(aside.likelihoods(ids).min())

    @torch.no_grad()
    def scores(self, begin: str, texts: Sequence[str], task: str = TOOL) -> list[float]:
        """How likely the model would write each of some texts after a task token and some words; nothing is added.

        Each is a mean over its tokens, of the logarithm of how likely a token is against the likeliest in its place: 0
        where the model would write just that.

        Args:
            begin: the words so far: for `[TOOL]`, those of the call.
            texts: what may stand next.
        """
        tokenizer, likely = self._language.tokenizer, list[float]()
        for text in texts:
            aside = self._stream.aside([0])
            aside.append(0, [self._language.id(task), *tokenizer.encode(begin, add_special_tokens=False)])
            ids = tokenizer.encode(text, add_special_tokens=False)
            likely.append(float(aside.likelihoods(ids).clamp_min(1e-30).log().mean()))
        return likely

    @torch.no_grad()
    def place(self, task: str, drawing: Drawing) -> None:
        """Let a drawing that was made from here before, and taken back, join the conversation after all.

        Args:
            task: what it was drawn with, `[T2I]` or `[I2I]`.

        Raises:
            InvalidRequest: the drawing is not one of this conversation; nothing has changed.
        """
        plan = drawing.plan or ""
        if drawing.source is not None:
            plan = f"{layout.picture_prefix(drawing.source)} {plan}"
        with self._unchanged_by_failure():
            segments.put_plan(self._stream, 0, task, plan, self._visible())
            segments.skip_queries(self._stream)
            self._join(drawing)

    @torch.no_grad()
    def describe(self, picture: Seen, cancel: CancelCheck | None = None) -> str:
        """A caption of a picture that is looked at by itself: nothing said here before can tell what it shows.

        The picture does not join the conversation, but its features are kept.

        Returns:
            the caption; empty where the picture cannot be read.

        Raises:
            ImageRejected, InvalidRequest, Cancelled, NonFiniteError.
        """
        alone = Conversation(self._parts)
        alone._features = self._features
        if isinstance(picture, Drawing):
            picture = replace(picture, caption="")  # what is known of it is not what it shows
        alone.add_user(layout.DESCRIBE, [picture], cancel)
        return layout.noted_caption(alone.seen, 1)

    def _draw(
        self, task: str, plan: str | None, source: int | None, seeds: list[int], settings: Settings,
        steering: Steering | None, on_plan: Callable[[segments.Plan], object] | None,
    ) -> Drawing:  # fmt: skip
        numbers = range(1, len(self.pictures) + 1) if source is None else [source]
        before = None
        if task == I2I and settings.bridge == "head":
            self._stream.logits()  # nothing is read twice
            before = self._stream.aside([0])
        if plan is None:
            temperature = float(self._parts.config["plan_temperature"])
            (planned,) = segments.write_plans(self._stream, task, numbers, seeds, temperature, settings.cancel)
        else:
            planned = segments.put_plan(self._stream, 0, task, plan, numbers)
            if settings.bridge == "caption" and self._parts.tokenizer is not None:
                check_captions(self._parts.tokenizer, [planned.text])
        if planned.source in self.hidden:
            raise InvalidRequest(f"image {planned.source} is too long ago to be seen: send it again")
        if planned.source is not None and self._why_unread(planned.source, settings.cancel):
            raise InvalidRequest(UNREADABLE)
        if on_plan is not None:
            on_plan(planned)
        states = segments.read_queries(self._stream)
        sources = None if planned.source is None else [self.pictures[planned.source - 1]]
        unedited = None
        if planned.source is not None and (caption := self.captions.get(planned.source)):
            unedited = segments.unedited(before, {0: caption}, [planned])
        (drawing,) = painting.paint(self._parts, [planned], states, sources, seeds, settings, unedited, steering)
        self._join(drawing)
        return drawing

    def _join(self, drawing: Drawing) -> None:
        """The drawing comes back as a picture that can be looked at."""
        picture = self._parts.picture(drawing)
        label = layout.picture(self._language.tokenizer, len(self.pictures) + 1, self._language.tokens_per_image)
        self._stream.append(0, label, self._see([picture]))
        self.pictures.append(picture)
        self.acted = True

    def _look(self, cancel: CancelCheck | None) -> None:
        """Let the model take up the next request and write down what it sees."""
        spoke = self.acted and self._stream.ids[0][-1] != self._language.id(IMAGE)
        if spoke and not self.left:  # what it said is not to go on as notes
            self._stream.append(0, layout.seen(self._language.tokenizer, ""))
            self.request = self.seen = ""
        else:
            (looked,) = segments.look(self._stream, self.acted, cancel, self._notes)
            self.request, self.seen = looked.request, looked.seen
            self._check_notes(cancel)
        self.acted = False

    def _notes(self) -> Notes:
        """What may be noted now of the pictures."""
        noted = noted_captions(self._language, self._stream.ids[0])
        described = [number for number, _ in noted]
        named = layout.named_pictures(self._language.text(self._request_ids()))
        return Notes(self._language, self._visible(), dict(noted) | self._looked_at(), described, named)
