"""Who does what was decided: the model in its own token stream, or verb by verb where it has none."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Protocol

from genllava.errors import InvalidRequest
from genllava.options import DESCRIBE
from genllava.protocols.shapes.asking_back import completed, is_understood
from genllava.protocols.shapes.judging import PLAUSIBLE, as_planned, compare, doubt
from genllava.protocols.shapes.layout import exchange, noted_caption, picture_prefix
from genllava.protocols.shapes.picture_numbers import grounded
from genllava_agent.errors import UnknownImage
from genllava_agent.records import ImageRecord, Request, image_number
from genllava_agent.session import Session
from genllava_agent.state import Action, AgentState, Stream, asked

if TYPE_CHECKING:
    from genllava import Drawing, Understanding
    from genllava.protocols.shapes.conversation import Conversation
    from genllava_agent.history import History

TASK_TOKENS = {"understand": "[I2T]", "generate": "[T2I]", "edit": "[I2I]"}
KINDS = {token: kind for kind, token in TASK_TOKENS.items()}
TellPlan = Callable[[str, int | None], object]
"""Hears what a picture will show, and the number of the one that it edits, as soon as that is known."""


@dataclass(frozen=True, slots=True)
class Judgement:
    """How a drawing compares with what was planned and asked for.

    Attributes:
        verified: whether it was looked at.
        caption: what the model sees in it; None where it does not say.
        asked: whether it is what was asked for; what differs from the plan alone was the model's own choice.
        mismatches: how much is not as planned.
        unsure: what is wrong, in words; empty where nothing is.
    """

    verified: bool = False
    caption: str | None = None
    asked: bool = True
    mismatches: int = 0
    unsure: str = ""


class Worker(Protocol):
    """Does one thing at a time. Every method may raise what the pipeline raises."""

    def begin(
        self, session: Session, state: AgentState, request: Request, pictures: Sequence[ImageRecord], look: bool = True
    ) -> None:
        """Take in what the user says and shows, and let the model look at it."""

    def answer(
        self, session: Session, state: AgentState, action: Action, on_text: Callable[[str], object]
    ) -> Understanding:
        """Say something."""

    def draw(
        self, session: Session, state: AgentState, action: Action, seed: int, again: Drawing | None, tell: TellPlan,
        options: dict[str, Any],
    ) -> Drawing:  # fmt: skip
        """Make a picture that has not joined the conversation yet. Without an image it was declined, in words.

        Args:
            again: an earlier attempt, whose plan is drawn once more.
        """

    def place(self, session: Session, state: AgentState, action: Action, drawing: Drawing) -> None:
        """Let a picture join the conversation."""

    def judge(self, session: Session, state: AgentState, action: Action, drawing: Drawing) -> Judgement:
        """Look at a drawing."""

    def doubt(self, session: Session, state: AgentState, action: Action, drawing: Drawing) -> str:
        """What is to be said of the plan of an edit; empty where there is no doubt."""

    def returned(self, session: Session, state: AgentState, text: str, pictures: Sequence[ImageRecord]) -> None:
        """Take in what tools gave."""

    def left(self, session: Session, state: AgentState) -> str:
        """What the user asked for beyond what is being done, in the user's words."""

    def end(self, session: Session, state: AgentState, said: str) -> None:
        """The turn is over; `said` is the reply, if anything was done."""


class StreamWorker:
    """In the model's own token stream, where it sees all that was said and drawn before."""

    def begin(
        self, session: Session, state: AgentState, request: Request, pictures: Sequence[ImageRecord], look: bool = True
    ) -> None:
        conversation, shown = session.conversation(state), [session.drawing(record) for record in pictures]
        if look and request.region is not None and len(shown) > 1:
            # The whole picture and a part of it in one message would be two to choose from.
            conversation.add_user(DESCRIBE, shown[:-1], session.interrupted)
            conversation.answer(session.interrupted)
            conversation.end_turn()
            shown = shown[-1:]
        part = None if shown else _part(state)  # shown with the words that these take the place of
        text = request.text if part is None else f"in image {part}, {request.text}"
        if look and not shown and part is None and request.task is None:
            whole = completed(_said_last(session.history), text)
            if whole and self._understands(session, conversation, whole):
                return
        conversation.add_user(text, shown, session.interrupted, look=look)

    @staticmethod
    def _understands(session: Session, conversation: Conversation, whole: str) -> bool:
        """Put an answer to the model together with what it asked about; returns whether that is left so."""
        conversation.end_turn()
        before = conversation.mark()
        conversation.add_user(whole, None, session.interrupted)
        if not is_understood(conversation, session.interrupted):
            conversation.rollback(before)
            return False
        conversation.request = whole  # these are the words of what is done, and are shown as such
        return True

    def answer(
        self, session: Session, state: AgentState, action: Action, on_text: Callable[[str], object]
    ) -> Understanding:
        answer = session.conversation(state).answer(session.interrupted, on_text)
        return replace(answer, text=grounded(answer.text, len(state["images"])))

    def draw(
        self, session: Session, state: AgentState, action: Action, seed: int, again: Drawing | None, tell: TellPlan,
        options: dict[str, Any],
    ) -> Drawing:  # fmt: skip
        conversation = session.conversation(state)
        mark, plan = conversation.mark(), None if again is None else again.plan
        if again is not None and again.source is not None:
            plan = f"image {again.source}: {plan}"
        try:
            task, on_plan = TASK_TOKENS[action.kind], lambda planned: tell(planned.text, planned.source)
            source = _part(state) if action.kind == "edit" else None
            return conversation.draw(task, plan=plan, source=source, seed=seed, on_plan=on_plan, **options)
        finally:
            conversation.rollback(mark)

    def place(self, session: Session, state: AgentState, action: Action, drawing: Drawing) -> None:
        session.conversation(state).place(TASK_TOKENS[action.kind], drawing)

    def judge(self, session: Session, state: AgentState, action: Action, drawing: Drawing) -> Judgement:
        conversation = session.conversation(state)
        caption = conversation.describe(drawing, session.interrupted)
        words = as_planned(drawing.plan or "", caption)
        likelihood = conversation.likelihood(TASK_TOKENS[action.kind], words, drawing.source)
        return _compared(drawing, caption, likelihood)

    def doubt(self, session: Session, state: AgentState, action: Action, drawing: Drawing) -> str:
        before = _shown(session, state, drawing.source)
        return doubt(drawing.plan or "", before, _stream(state).request or action.instruction)

    def returned(self, session: Session, state: AgentState, text: str, pictures: Sequence[ImageRecord]) -> None:
        conversation, language = session.conversation(state), session.engine.pipeline.protocol.language
        left = self.left(session, state)
        conversation.end_turn(text)
        for record in pictures:  # as pictures come that the user shows and asks to describe
            drawing = session.drawing(record)
            caption = conversation.describe(drawing, session.interrupted)
            seen = f"{picture_prefix(record.number)} {caption}" if caption else ""
            ids = exchange(
                language.tokenizer, DESCRIBE, [record.number], language.tokens_per_image, seen, caption or text
            )
            conversation.replay(ids, [drawing])
        if left:
            conversation.add_user(left, cancel=session.interrupted)
        else:
            conversation.acted = True  # nothing more is asked: the turn may end

    def left(self, session: Session, state: AgentState) -> str:
        return session.conversation(state).left.lstrip(" ,.;")

    def end(self, session: Session, state: AgentState, said: str) -> None:
        session.conversation(state).end_turn(said)


class VerbWorker:
    """Verb by verb: every call sees its own picture and instruction, and nothing else.

    Args:
        as_planned: an instruction to draw is drawn as it is, and not planned again by the model.
    """

    def __init__(self, as_planned: bool = False) -> None:
        self._as_planned = as_planned

    def begin(
        self, session: Session, state: AgentState, request: Request, pictures: Sequence[ImageRecord], look: bool = True
    ) -> None:
        pass

    def answer(
        self, session: Session, state: AgentState, action: Action, on_text: Callable[[str], object]
    ) -> Understanding:
        source = self._source(session, state, action)
        answer = session.engine.pipeline.understand(source, action.instruction, cancel=session.interrupted)
        on_text(answer.text)
        return answer

    def draw(
        self, session: Session, state: AgentState, action: Action, seed: int, again: Drawing | None, tell: TellPlan,
        options: dict[str, Any],
    ) -> Drawing:  # fmt: skip
        pipeline, plan = session.engine.pipeline, None if again is None else again.plan
        if not session.engine.has_stream:
            options = pipeline.protocol.turn_options(options, edits=action.kind == "edit")
            if self._as_planned and asked(state).task is None:
                plan = plan or action.instruction
        if action.kind == "generate":
            drawing = pipeline.generate(action.instruction, plan=plan, seed=seed, **options)
        else:
            source = self._source(session, state, action)
            if source is None:
                raise InvalidRequest("there is no picture to edit: send one, or ask for one first")
            number = image_number(action.image or state.get("focus") or "")
            edited = pipeline.edit(source, action.instruction, plan=plan, seed=seed, **options)
            drawing = replace(edited, source=number)
        if drawing.plan is not None:
            tell(drawing.plan, drawing.source)
        return drawing

    def place(self, session: Session, state: AgentState, action: Action, drawing: Drawing) -> None:
        pass

    def judge(self, session: Session, state: AgentState, action: Action, drawing: Drawing) -> Judgement:
        pipeline = session.engine.pipeline
        if session.engine.has_stream:
            conversation = pipeline.conversation()
            caption = conversation.describe(drawing, session.interrupted)
            source = self._source(session, state, action) if action.kind == "edit" else None
            conversation.add_user(action.instruction, source, session.interrupted)
            words = as_planned(drawing.plan or "", caption)
            number = None if source is None else 1
            return _compared(drawing, caption, conversation.likelihood(TASK_TOKENS[action.kind], words, number))
        from genllava.protocols.judging import judge_picture

        source = self._source(session, state, action) if action.kind == "edit" else None
        said = drawing.plan or action.instruction
        doubts = judge_picture(pipeline.vision_language, drawing, said, source, session.interrupted)
        unsure = f"asked whether it shows this, the model said no: {'; '.join(doubts)}" if doubts else ""
        return Judgement(True, None, not doubts, len(doubts), unsure)

    def doubt(self, session: Session, state: AgentState, action: Action, drawing: Drawing) -> str:
        return ""

    def returned(self, session: Session, state: AgentState, text: str, pictures: Sequence[ImageRecord]) -> None:
        pass

    def left(self, session: Session, state: AgentState) -> str:
        return ""

    def end(self, session: Session, state: AgentState, said: str) -> None:
        pass

    @staticmethod
    def _source(session: Session, state: AgentState, action: Action) -> Drawing | None:
        name = action.image or state.get("focus")
        if name is None:
            return None
        known = state["images"]
        if name not in known:
            raise UnknownImage.among(name, known)
        return session.drawing(known[name])


def _compared(drawing: Drawing, caption: str, likelihood: float) -> Judgement:
    """A drawing as the shapes model judges it: its caption against the plan, and against what was asked for."""
    found = compare(drawing.plan or "", caption, likelihood)
    assert found.asked == (likelihood >= PLAUSIBLE)
    return Judgement(True, caption, found.asked, found.mismatches, found.unsure)


def _part(state: AgentState) -> int | None:
    """The number of the part that the user points at, as long as nothing new was made: no other picture is meant."""
    shown = state["images"].get(state.get("focus") or "")  # the latest one may be gone with its message
    return shown.number if shown is not None and shown.origin == "region" else None


def _stream(state: AgentState) -> Stream:
    return state.get("stream") or Stream()


def _said_last(history: History) -> list[tuple[str, str]]:
    """What was said in the last turn, with the request that it was said about."""
    if not history:
        return []
    last = history[-1]
    said = [(step.text, step.request) for step in last.steps] or [(last.text, "")]
    return [(text, request or last.request.text) for text, request in said]


def _shown(session: Session, state: AgentState, number: int | None) -> str:
    """What the model last noted that a picture shows; empty if it noted nothing in its own stream."""
    stream = _stream(state)
    if number is None or not stream.ids:
        return ""
    steps = [step for turn in session.history if turn.stream for step in turn.steps] + state["steps"]
    noted = (noted_caption(seen, number) for seen in (stream.seen, *(step.seen for step in reversed(steps))))
    return next(filter(None, noted), "")
