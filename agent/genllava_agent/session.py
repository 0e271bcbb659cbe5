"""The working memory of a turn: the model, the conversation as far as it has come, and what may still be spent.

A session holds nothing that the state of the graph and the history do not say: one that is lost is made again.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Final

from langchain_core.messages import AnyMessage

from genllava.errors import Cancelled, InvalidRequest
from genllava.options import StepCallback
from genllava_agent.events import Preview
from genllava_agent.records import ImageRecord, Region, Step, image_name
from genllava_agent.settings import TurnSettings
from genllava_agent.state import AgentState, Stream, Trial, begun

if TYPE_CHECKING:
    from PIL import Image

    from genllava import Drawing
    from genllava.protocols.shapes.conversation import Conversation
    from genllava.protocols.shapes.conversation_state import Mark
    from genllava_agent.engine import Engine
    from genllava_agent.history import History
    from genllava_agent.live import Standing
    from genllava_agent.stores.base import Artifacts

_NEXT_SEED: Final = 0x9E3779B1
"""Keeps the seeds of further pictures and attempts away from those that people choose."""
BOUND: Final[ContextVar[dict[str, Any] | None]] = ContextVar("bound", default=None)
"""Tools that a caller of the agent as a chat model has bound, as OpenAI has them, and how they are to be called."""
CALLBACKS: Final[ContextVar[Any]] = ContextVar("callbacks", default=None)
"""LangChain's, of whoever calls the agent as a tool: they hear of the models that are asked in its turns."""
_UNWANTED: Final[ContextVar[Callable[[], bool]]] = ContextVar("unwanted", default=lambda: False)


@contextmanager
def wanted_while(cancel: Callable[[], bool]) -> Iterator[None]:
    """Meanwhile turns stop when `cancel` says so."""
    before = _UNWANTED.set(cancel)
    try:
        yield
    finally:
        _UNWANTED.reset(before)


def unwanted_by() -> Callable[[], bool]:
    """What says whether whoever runs the turn has stopped."""
    return _UNWANTED.get()


def unwanted() -> bool:
    """Whether whoever runs the turn has stopped."""
    return unwanted_by()()


class Spent(Exception):
    """A limit of the turn is reached; the message says which."""


@dataclass(slots=True)
class Meter:
    """What one piece of work took.

    Attributes:
        seconds, tokens, unet_rows: so far; final after the work.
    """

    seconds: float = 0.0
    tokens: int = 0
    unet_rows: int = 0


@dataclass(slots=True, eq=False)
class Session:
    """One turn's.

    Attributes:
        id: the turn's.
        engine: the model.
        artifacts: where the thread's pictures are.
        history: the turns before it.
        settings: of this turn.
        seed: of its first picture.
        inline: nothing is kept of the thread, so that pictures go into messages as they are.
        adopted: of an inline turn: by id, messages with their pictures as references.
        bound, calls: tools of whoever calls the agent as a chat model: their calls end the turn.
        used: by the whole turn, what it had used before it stopped to ask included; None before it begins. Waiting
            for the model is not counted, and neither is reading what was said before the turn.
    """

    id: str
    engine: Engine
    artifacts: Artifacts
    history: History
    settings: TurnSettings
    seed: int
    inline: bool = False
    adopted: dict[str | None, AnyMessage] = field(default_factory=dict)
    bound: dict[str, Any] = field(default_factory=dict)
    calls: list[Any] = field(default_factory=list)
    used: Meter | None = None
    _since: float = 0.0
    _read_again: int = 0
    _standing: Standing | None = None
    _start: Mark | None = None
    _drawn: dict[str, Drawing] = field(default_factory=dict)
    _watch: _Watch | None = None

    # --- pictures ---

    def image(self, record: ImageRecord) -> Image.Image:
        """Its pixels."""
        return self.artifacts.picture(record)

    def drawing(self, record: ImageRecord) -> Drawing:
        """A picture for the pipeline, with its latents where they are known."""
        from genllava import Drawing

        if record.key in self._drawn:
            return self._drawn[record.key]
        latents = None if record.latents is None else self.artifacts.latents(record.latents)
        image, caption = self.image(record), record.caption or ""
        return Drawing(image, None, record.plan, record.seed or 0, latents=latents, caption=caption)

    def keep(self, drawing: Drawing) -> tuple[str, str | None]:
        """Store a picture and its latents; returns their keys."""
        assert drawing.image is not None
        key = self.artifacts.put_image(drawing.image)
        self._drawn[key] = drawing
        return key, None if drawing.latents is None else self.artifacts.put_latents(drawing.latents)

    def drawn(self, trial: Trial) -> Drawing:
        """The drawing of a trial."""
        from genllava import Drawing

        assert trial.key is not None
        if trial.key not in self._drawn:
            latents = None if trial.latents is None else self.artifacts.latents(trial.latents)
            image = self.artifacts.image(trial.key)
            self._drawn[trial.key] = Drawing(image, None, trial.plan, trial.seed, latents=latents)
        found = self._drawn[trial.key]
        return replace(found, plan=trial.plan, source=trial.source, seed=trial.seed, caption=trial.caption or "")

    def put_back(self, state: AgentState, drawing: Drawing) -> Drawing:
        """A drawing that edits a part of a picture, put back into the whole; another one as it is."""
        part = self._edited(state, drawing)
        if part is None or part.origin != "region":
            return drawing
        from genllava_agent.regions import put_back, region_mask

        assert drawing.image is not None
        region = Region.model_validate(part.params)
        whole = self.image(state["images"][region.image])
        mask = region_mask(region, whole, self.artifacts)
        image = put_back(whole, self.image(part), drawing.image, mask, self.engine.has_stream)
        return replace(drawing, image=image, latents=None, caption="")

    def parents(self, state: AgentState, drawing: Drawing) -> tuple[str, ...]:
        """The names of the pictures that a drawing was made from; the whole one, if a part of it was edited."""
        source = self._edited(state, drawing)
        if source is None:
            return ()
        return source.parents if source.origin == "region" else (source.id,)

    def _edited(self, state: AgentState, drawing: Drawing) -> ImageRecord | None:
        return None if drawing.source is None else state["images"][image_name(drawing.source)]

    # --- messages ---

    def messages(self, state: AgentState) -> list[AnyMessage]:
        """The conversation with its pictures as references."""
        return [self.adopted.get(message.id, message) for message in state["messages"]]

    # --- the model's own token stream ---

    def conversation(self, state: AgentState) -> Conversation:
        """The conversation as far as the state says that it has come."""
        stream, fresh = state.get("stream") or Stream(), False
        if self._standing is None:
            self._standing = self.engine.live.take(self.engine.pipeline, self.history, self.drawing)
            self._start = self._standing.conversation.mark()
            fresh = True
        conversation, start = self._standing.conversation, self._begin
        if conversation.since(start) != tuple(stream.ids):  # the turn goes on elsewhere than this conversation is
            assert self._start is not None
            conversation.rollback(self._start)
            records = self.pictures(state)
            conversation.replay(
                stream.ids, [self.drawing(record) for record in records], left=[record.number for record in records],
                request=stream.request, seen=stream.seen, acted=stream.acted,
            )  # fmt: skip
        if fresh and self.used is not None:
            # They will be read first, and were paid for when they were said.
            self._read_again = conversation.unread
            self.used.tokens -= self._read_again
        return conversation

    def pictures(self, state: AgentState) -> list[ImageRecord]:
        """The pictures that came in during this turn."""
        turn = begun(state).number
        return [record for record in state["images"].values() if record.turn == turn]

    def go_back(self, state: AgentState) -> None:
        """Forget what was said since the state was written."""
        if self._standing is not None:
            with suppress(InvalidRequest):
                self.conversation(state)

    @property
    def _begin(self) -> int:
        return 0 if self._start is None else self._start.stream.length

    def stream(self) -> Stream:
        """What the state should say of the conversation now."""
        used, said = self.used or Meter(), dict[str, Any]()
        if self._standing is not None:
            now = self._standing.conversation
            said = {"ids": now.since(self._begin), "request": now.request, "seen": now.seen, "acted": now.acted}
        return Stream(tokens=used.tokens, unet_rows=used.unet_rows, seconds=self.seconds(), **said)

    def remember(self, turn: str, thread: str) -> None:
        """Let the next turn of the thread go on from here; this turn ends as `turn`."""
        if self._standing is not None:
            self.engine.live.keep(self._standing, turn, thread)

    # --- what it takes ---

    @contextmanager
    def work(self, state: AgentState) -> Iterator[Meter]:
        """Have the model for a piece of work, and measure what it takes.

        Raises:
            Spent: a limit was reached in the middle of it.
            Cancelled: the user no longer wants it.
        """
        meter = Meter()
        with self.engine.held(unwanted):
            counters = self.engine.pipeline.counters
            rows, tokens = counters.unet_rows, counters.tokens
            began = time.monotonic()
            self.go_on(state)  # a turn begins when the model is first there
            assert self.used is not None
            self._watch = _Watch(self, tokens, rows)
            try:
                yield meter
            except Cancelled:
                if self._watch.reason:
                    raise Spent(self._watch.reason) from None
                raise
            finally:
                meter.seconds = time.monotonic() - began
                read = counters.tokens - tokens
                meter.tokens, self._read_again = max(0, read - self._read_again), 0
                meter.unet_rows = counters.unet_rows - rows
                self.used.tokens += read
                self.used.unet_rows += meter.unet_rows
                self._watch = None

    def pause(self) -> None:
        """Wait for an answer: the clock stands still, and what was used so far is found in the state."""
        self.used = None

    def go_on(self, state: AgentState) -> None:
        """The clock runs, from where the state says that it stood."""
        if self.used is None:
            before = state.get("stream") or Stream()
            self.used = Meter(before.seconds, before.tokens, before.unet_rows)
            self._since = time.monotonic() - before.seconds

    def interrupted(self) -> bool:
        """Asked by the model before every token and every step of drawing."""
        return self._watch is not None and self._watch.asked()

    def on_step(self, tell: Callable[[Any], None], attempt: int, aspect: float = 1.0) -> StepCallback:
        """What the pipeline calls after every step of drawing: shows how far it has come.

        Args:
            aspect: width by height of the picture.
        """
        from genllava_agent.previews import preview, shown_at

        def ended(decoder: Any, index: int, timestep: Any, values: dict[str, Any]) -> dict[str, Any]:
            step, total = index + 1, max(index + 1, decoder.num_timesteps)
            shown = shown_at(step, total, self.settings.previews)
            tell(Preview(step, total, attempt, preview(decoder, values["latents"], aspect) if shown else None))
            return values

        return ended

    def seconds(self) -> float:
        """Since this turn first had the model, without the time that it waited for an answer."""
        return 0.0 if self.used is None else time.monotonic() - self._since

    def next_seed(self, state: AgentState) -> int:
        """The seed of the next drawing: of the first one the turn's, and of others another one each."""
        before = sum(step.attempts for step in state["steps"]) + len(state["trials"])
        return (self.seed + before * _NEXT_SEED) % 2**63


@dataclass(slots=True, eq=False)
class _Watch:
    """Watches a piece of work; `reason` says why it was stopped, if it was not the user."""

    session: Session
    tokens: int
    rows: int
    reason: str = ""

    def asked(self) -> bool:
        if unwanted():
            return True
        counters = self.session.engine.pipeline.counters
        self.reason = spent_limit(self.session, counters.tokens - self.tokens, counters.unet_rows - self.rows)
        return bool(self.reason)


def next_image(state: AgentState, made: int = 0) -> str:
    """The name of the next picture.

    Args:
        made: pictures that are not in the state yet.
    """
    return image_name(max((record.number for record in state["images"].values()), default=0) + made + 1)


def spent_limit(session: Session, tokens: int = 0, unet_rows: int = 0) -> str:
    """Which limit is reached by what the turn has used, and what it is using now; empty if none is."""
    limits, used = session.settings.limits, session.used or Meter()
    if used.tokens + tokens >= limits.tokens:
        return f"the limit of {_count(limits.tokens, 'token')}"
    if used.unet_rows + unet_rows >= limits.unet_rows:
        return f"the limit of {_count(limits.unet_rows, 'UNet row')}"
    if session.seconds() >= limits.seconds:
        return f"the limit of {limits.seconds:g} seconds"
    return ""


def full(session: Session, steps: Sequence[Step]) -> str:
    """Which limit on what is done is reached by these steps: nothing more may be done, but the turn may be over."""
    limits = session.settings.limits
    if len(steps) >= limits.steps:
        return f"the limit of {_count(limits.steps, 'step')}"
    return ""


def no_more_pictures(session: Session, steps: Sequence[Step]) -> str:
    """The same for pictures."""
    limits = session.settings.limits
    if sum(step.image is not None for step in steps) >= limits.images:
        return f"the limit of {_count(limits.images, 'picture')}"
    return ""


def limit_on(session: Session, steps: Sequence[Step], kind: str) -> str:
    """Which limit a call of this kind would go beyond; empty if it may be made."""
    return full(session, steps) or (no_more_pictures(session, steps) if kind in ("generate", "edit") else "")


def _count(number: int, what: str) -> str:
    return f"{number:,} {what}" + ("" if number == 1 else "s")
