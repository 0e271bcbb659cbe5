"""Who does what was decided: the model in its own stream, or verb by verb where it has not learnt that stream."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Protocol

from genllava.errors import InvalidRequest
from genllava.options import DESCRIBE
from genllava_agent.asked_back import completed, is_understood
from genllava_agent.errors import UnknownImage
from genllava_agent.records import ImageRecord, Request, image_number
from genllava_agent.state import Action, AgentState
from genllava_agent.verification import as_planned

if TYPE_CHECKING:
    from genllava import Drawing, GenLlavaPipeline, Understanding
    from genllava.protocols.shapes.conversation import Conversation
    from genllava_agent.session import Session

TASK_TOKENS = {"understand": "[I2T]", "generate": "[T2I]", "edit": "[I2I]"}
KINDS = {token: kind for kind, token in TASK_TOKENS.items()}
TellPlan = Callable[[str, int | None], object]
"""Hears what a picture will show, and the number of the one that it edits, as soon as that is known."""


def has_stream(pipeline: GenLlavaPipeline) -> bool:
    """Whether the model has a token stream of its own, with notes and plans, and not only a chat template."""
    return bool(pipeline.config["protocol"] == "shapes")


def check_tools(pipeline: GenLlavaPipeline | None) -> None:
    """See that a model (None: the one that ships) calls tools.

    Raises:
        InvalidRequest: it does not.
    """
    if pipeline is None or has_stream(pipeline):
        raise InvalidRequest(
            "the model itself calls no tools: give decider= a LangChain chat model with tool calling, which does"
        )


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

    def describe(self, session: Session, state: AgentState, drawing: Drawing) -> str | None:
        """A caption of a picture in the words of plans; None if the model cannot."""

    def likelihood(
        self, session: Session, state: AgentState, action: Action, drawing: Drawing, caption: str
    ) -> float | None:
        """How likely the model is to plan what a caption of a drawing says, from 0 to 1; None if that is not known."""

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
        part = None if shown else _part(session, state)  # shown with the words that these take the place of
        text = request.text if part is None else f"in image {part}, {request.text}"
        if look and not shown and part is None and request.task is None:
            whole = completed(session.history, text)
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
        return session.conversation(state).answer(session.interrupted, on_text)

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
            source = _part(session, state) if action.kind == "edit" else None
            return conversation.draw(task, plan=plan, source=source, seed=seed, on_plan=on_plan, **options)
        finally:
            conversation.rollback(mark)

    def place(self, session: Session, state: AgentState, action: Action, drawing: Drawing) -> None:
        session.conversation(state).place(TASK_TOKENS[action.kind], drawing)

    def describe(self, session: Session, state: AgentState, drawing: Drawing) -> str | None:
        return session.conversation(state).describe(drawing, session.interrupted)

    def likelihood(
        self, session: Session, state: AgentState, action: Action, drawing: Drawing, caption: str
    ) -> float | None:
        words = as_planned(drawing.plan or "", caption)
        return session.conversation(state).likelihood(TASK_TOKENS[action.kind], words, drawing.source)

    def left(self, session: Session, state: AgentState) -> str:
        return session.conversation(state).left.lstrip(" ,.;")

    def end(self, session: Session, state: AgentState, said: str) -> None:
        session.conversation(state).end_turn(said)


def _part(session: Session, state: AgentState) -> int | None:
    """The number of the part that the user points at, as long as nothing new was made: no other picture is meant."""
    shown = session.known(state).get(state.get("focus") or "")  # the latest one may be gone with its message
    return shown.number if shown is not None and shown.origin == "region" else None


class VerbWorker:
    """Verb by verb: every call sees its own picture and instruction, and nothing else."""

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

    def describe(self, session: Session, state: AgentState, drawing: Drawing) -> str | None:
        pipeline = session.engine.pipeline
        if not has_stream(pipeline):
            return None
        caption: str = pipeline.conversation().describe(drawing, session.interrupted)
        return caption

    def likelihood(
        self, session: Session, state: AgentState, action: Action, drawing: Drawing, caption: str
    ) -> float | None:
        pipeline, words = session.engine.pipeline, as_planned(drawing.plan or "", caption)
        if not has_stream(pipeline):
            return None
        source = self._source(session, state, action) if action.kind == "edit" else None
        conversation = pipeline.conversation()
        conversation.add_user(action.instruction, source, session.interrupted)
        found: float = conversation.likelihood(TASK_TOKENS[action.kind], words, None if source is None else 1)
        return found

    def left(self, session: Session, state: AgentState) -> str:
        return ""

    def end(self, session: Session, state: AgentState, said: str) -> None:
        pass

    @staticmethod
    def _source(session: Session, state: AgentState, action: Action) -> Drawing | None:
        name = action.image or state.get("focus")
        if name is None:
            return None
        known = session.known(state)
        if name not in known:
            raise UnknownImage.among(name, known)
        return session.drawing(known[name])
