"""Who does what was decided: the model in its own stream, or verb by verb where it has not learnt that stream."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Protocol

from genllava.errors import InvalidRequest
from genllava_agent.records import ImageRecord, Request, image_number
from genllava_agent.state import Action, AgentState

if TYPE_CHECKING:
    from genllava import Drawing, Understanding
    from genllava_agent.session import Session

TASK_TOKENS = {"understand": "[I2T]", "generate": "[T2I]", "edit": "[I2I]"}
KINDS = {token: kind for kind, token in TASK_TOKENS.items()}


class Worker(Protocol):
    """Does one thing at a time. Every method may raise what the pipeline raises."""

    def begin(self, session: Session, state: AgentState, request: Request, pictures: Sequence[ImageRecord]) -> None:
        """Take in what the user says and shows."""

    def answer(
        self, session: Session, state: AgentState, action: Action, on_text: Callable[[str], object]
    ) -> Understanding:
        """Say something."""

    def draw(
        self, session: Session, state: AgentState, action: Action, seed: int, plan: str | None, options: dict[str, Any]
    ) -> Drawing:
        """Make a picture that has not joined the conversation yet. Without an image it was declined, in words."""

    def place(self, session: Session, state: AgentState, action: Action, drawing: Drawing) -> None:
        """Let a picture join the conversation."""

    def describe(self, session: Session, state: AgentState, drawing: Drawing) -> str | None:
        """A caption of a picture in the words of plans; None if the model cannot."""

    def end(self, session: Session, state: AgentState) -> None:
        """The turn is over."""


class StreamWorker:
    """In the model's own token stream, where it sees all that was said and drawn before."""

    def begin(self, session: Session, state: AgentState, request: Request, pictures: Sequence[ImageRecord]) -> None:
        shown = [session.drawing(record) for record in pictures]
        session.conversation(state).add_user(request.text, shown, session.interrupted)

    def answer(
        self, session: Session, state: AgentState, action: Action, on_text: Callable[[str], object]
    ) -> Understanding:
        return session.conversation(state).answer(session.interrupted, on_text)

    def draw(
        self, session: Session, state: AgentState, action: Action, seed: int, plan: str | None, options: dict[str, Any]
    ) -> Drawing:
        conversation = session.conversation(state)
        mark = conversation.mark()
        try:
            return conversation.draw(TASK_TOKENS[action.kind], plan=plan, seed=seed, **options)
        finally:
            conversation.rollback(mark)

    def place(self, session: Session, state: AgentState, action: Action, drawing: Drawing) -> None:
        session.conversation(state).place(TASK_TOKENS[action.kind], drawing)

    def describe(self, session: Session, state: AgentState, drawing: Drawing) -> str | None:
        return session.conversation(state).describe(drawing, session.interrupted)

    def end(self, session: Session, state: AgentState) -> None:
        session.conversation(state).end_turn()


class VerbWorker:
    """Verb by verb: every call sees its own picture and instruction, and nothing else."""

    def begin(self, session: Session, state: AgentState, request: Request, pictures: Sequence[ImageRecord]) -> None:
        pass

    def answer(
        self, session: Session, state: AgentState, action: Action, on_text: Callable[[str], object]
    ) -> Understanding:
        source = self._source(session, state, action)
        answer = session.engine.pipeline.understand(source, action.instruction, cancel=session.interrupted)
        on_text(answer.text)
        return answer

    def draw(
        self, session: Session, state: AgentState, action: Action, seed: int, plan: str | None, options: dict[str, Any]
    ) -> Drawing:
        pipeline = session.engine.pipeline
        if action.kind == "generate":
            return pipeline.generate(action.instruction, plan=plan, seed=seed, **options)
        source = self._source(session, state, action)
        if source is None:
            raise InvalidRequest("there is no picture to edit: send one, or ask for one first")
        number = image_number(action.image or state.get("focus") or "")
        from dataclasses import replace

        return replace(pipeline.edit(source, action.instruction, plan=plan, seed=seed, **options), source=number)

    def place(self, session: Session, state: AgentState, action: Action, drawing: Drawing) -> None:
        pass

    def describe(self, session: Session, state: AgentState, drawing: Drawing) -> str | None:
        pipeline = session.engine.pipeline
        if pipeline.config["native_prompts"]:
            return None
        return pipeline.conversation().describe(drawing, session.interrupted)

    def end(self, session: Session, state: AgentState) -> None:
        pass

    @staticmethod
    def _source(session: Session, state: AgentState, action: Action) -> Drawing | None:
        name = action.image or state.get("focus")
        if name is None:
            return None
        return session.drawing({**session.records, **state.get("images", {})}[name])
