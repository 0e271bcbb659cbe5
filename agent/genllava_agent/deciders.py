"""Who chooses what is done next: the model by its task tokens or by calling tools, or another chat model."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, Protocol

from genllava.errors import InvalidRequest
from genllava.protocols.shapes.layout import phrases
from genllava_agent.answers import lost_picture, unknown_picture
from genllava_agent.records import Kind
from genllava_agent.state import Action, AgentState
from genllava_agent.workers import KINDS, TASK_TOKENS, StreamWorker, Worker, has_stream

if TYPE_CHECKING:
    from genllava import GenLlavaPipeline
    from genllava.protocols.shapes.conversation import Conversation
    from genllava_agent.session import Session

FINISH: Final = "</s>"
_SURE: Final = 0.9
"""How likely it must be that something new is to be drawn, where the request names a picture that it cannot become."""


@dataclass(frozen=True, slots=True)
class Decision:
    """What is done next.

    Attributes:
        action: None where the turn is over.
        text: last words, where whoever decides has some.
        probabilities: how likely each possible action was, by task token, most likely first; empty if unknown.
        seen: what was noted down before.
    """

    action: Action | None
    text: str = ""
    probabilities: dict[str, float] = field(default_factory=dict)
    seen: str = ""


class Decider(Protocol):
    """Chooses among what is possible now; a picture that does not exist cannot be chosen.

    It may have two flags more: `needs_model` (true unless it says otherwise), that the model does nothing else while it
    decides; and `speaks` (false), that what it says in the end is the reply, in place of what the steps said.

    It may have a method `other_words(session, state, instruction)`, which hears that the user put an instruction in the
    place of the one that it decided on; where it has none, those words take the place of the request.

    Attributes:
        worker: who does what it chooses.
    """

    worker: Worker

    def decide(self, session: Session, state: AgentState, possible: list[Kind], may_finish: bool) -> Decision:
        """The next action out of `possible`, or the end of the turn."""


def needs_model(decider: Decider) -> bool:
    """Whether the model does nothing else while it decides."""
    return bool(getattr(decider, "needs_model", True))


def speaks(decider: Decider) -> bool:
    """Whether its last words are the reply."""
    return bool(getattr(decider, "speaks", False))


def default_decider(pipeline: GenLlavaPipeline) -> Decider:
    """Task tokens, where the model has a stream of its own; other models decide by calling tools."""
    if has_stream(pipeline):
        return TaskTokens()
    from genllava_agent.planner.own_model import OwnModel

    return OwnModel(pipeline)


def as_decider(given: Any) -> Decider | None:
    """A decider as it is, a chat model as a planner.

    Raises:
        InvalidRequest: it is neither.
    """
    if given is None or hasattr(given, "decide"):
        return given  # type: ignore[no-any-return]
    if not hasattr(given, "bind_tools"):
        raise InvalidRequest(f"decider={given!r} cannot decide: give a LangChain chat model with tool calling")
    from genllava_agent.planner import Planner

    return Planner(given)


def action_for(kind: Kind, state: AgentState, probabilities: dict[str, float], request: str = "") -> Action:
    """An action about the request as it stands, or about one of several that it is made of."""
    return Action(kind=kind, instruction=request or state["request"].text, probabilities=probabilities)


class TaskTokens:
    """The model's next task token, out of those that are possible: nothing has to be parsed."""

    worker: Worker = StreamWorker()

    def decide(self, session: Session, state: AgentState, possible: list[Kind], may_finish: bool) -> Decision:
        conversation = session.conversation(state)
        allowed = [TASK_TOKENS[kind] for kind in possible if kind in TASK_TOKENS]
        if may_finish:
            allowed.append(FINISH)
        probabilities = conversation.next_action(allowed, session.interrupted)
        token = next(iter(probabilities))
        if token == FINISH:
            return Decision(None, probabilities=probabilities, seen=conversation.seen)
        kind: Kind = KINDS[token]  # type: ignore[assignment]
        action = action_for(kind, state, probabilities, conversation.request)
        if kind != "generate":
            unknown = self._out_of_reach(conversation, action.instruction)
        elif probabilities[token] < _SURE:
            unknown = unknown_picture(action.instruction, len(conversation.pictures), 1, lambda: _things(conversation))
        else:
            unknown = ""
        if unknown:
            return Decision(None, unknown, probabilities, conversation.seen)
        return Decision(action, probabilities=probabilities, seen=conversation.seen)

    @staticmethod
    def _out_of_reach(conversation: Conversation, request: str) -> str:
        """What to say of a request for a picture that there is not, or of which nothing is known any more."""
        if unknown := unknown_picture(request, len(conversation.pictures), things=lambda: _things(conversation)):
            return unknown
        return lost_picture(request, conversation.hidden - conversation.captions.keys()) if conversation.hidden else ""


def _things(conversation: Conversation) -> int:
    """How many things there are in the picture that shows most, by what is noted of the pictures."""
    noted = [phrases(caption) for caption in conversation.captions.values()]
    return max((sum(not phrase.startswith("on ") for phrase in each) for each in noted), default=0)
