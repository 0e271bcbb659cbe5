"""What the nodes share: the model, the decider, the tools, where pictures are kept, and how a fault becomes a step."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from functools import wraps
from typing import TYPE_CHECKING, Any, Final

from langchain_core.messages import AnyMessage, ToolMessage
from langgraph._internal._constants import CONFIG_KEY_CHECKPOINTER
from langgraph.config import get_config
from langgraph.errors import GraphBubbleUp, is_invalid_resume
from langgraph.runtime import Runtime, get_runtime

from genllava.errors import Cancelled, ImageRejected, InvalidRequest
from genllava_agent import events
from genllava_agent.admission import check_kept
from genllava_agent.deciders.base import Decider
from genllava_agent.engine import Engine
from genllava_agent.errors import StoreFailed, ThreadQuarantined, is_transient
from genllava_agent.history import History, read_history
from genllava_agent.live import as_said
from genllava_agent.records import Step, Tried
from genllava_agent.session import Session, Spent
from genllava_agent.settings import TurnSettings, checked
from genllava_agent.state import Action, AgentState, Begun, Trial, begun, next_action, open_calls, result
from genllava_agent.thread_verbs import finished_turns

if TYPE_CHECKING:
    from langchain_core.tools import BaseTool

    from genllava_agent.stores.base import Artifacts

_KEPT: Final = 64
"""Working memories and histories that are kept; they are made again where they are not found."""
_MOST: Final = 16 * _KEPT
"""Those that cannot be made again, of which a caller who stops to listen may leave one behind."""
_REASONS: Final = 200
"""Characters of an error that go into a step."""
RETRIES: Final = 3
"""Attempts at a decision, where a server does not answer or is too busy."""
Node = Callable[[AgentState, Runtime[TurnSettings]], Any]
_USED: Final[ContextVar[set[str]]] = ContextVar("used")
"""Turns whose working memory is used in the present run."""


@dataclass(eq=False)
class AgentParts:
    """What an agent is made of.

    Attributes:
        engine: the model.
        decider: gives who decides; called when something is first decided.
        tools: by name.
        settings: of turns that come without any.
        artifacts: gives where the pictures of a thread are, by its id.
        picture_url: links to pictures go into replies, for front ends that show text alone: this address, `/`, the
            thread's id, `/`, the file's name.
        sessions: of the turns that are running, by the turn's id.
    """

    engine: Engine
    decider: Callable[[], Decider]
    tools: Mapping[str, BaseTool]
    settings: TurnSettings
    artifacts: Callable[[str], Artifacts]
    picture_url: str = ""
    sessions: dict[str, Session] = field(default_factory=dict)
    histories: dict[str, History] = field(default_factory=dict)

    def session(self, state: AgentState) -> Session:
        """The working memory of the turn that is running; made again where it was begun by another process.

        Raises:
            InvalidRequest, ImageRejected: it cannot be: nothing of the turn's pictures was kept, or not here.
        """
        turn = begun(state)
        if (session := self.sessions.get(turn.id)) is not None:
            _USED.get(set()).add(turn.id)
            return session
        thread = thread_id()
        if thread is None:
            raise InvalidRequest("this turn was begun by a process that has ended: ask again")
        before = finished_turns(state)
        artifacts = self.artifacts(thread)
        for record in state["images"].values():
            check_kept(artifacts, record)
        return self.open(turn, artifacts, before, checked(turn.settings), inline=False)

    def open(
        self,
        turn: Begun,
        artifacts: Artifacts,
        before: Sequence[Sequence[AnyMessage]],
        settings: TurnSettings,
        inline: bool,
    ) -> Session:
        """A working memory for a turn.

        Args:
            before: the messages of the turns before it.
            inline: see `Session`.
        """
        history = self._history(before)
        session = Session(turn.id, self.engine, artifacts, history, settings, turn.seed, inline)
        while len(self.sessions) >= _KEPT:
            idle = next((key for key, other in self.sessions.items() if not other.inline), None)
            if idle is None and len(self.sessions) < _MOST:
                break
            self.sessions.pop(idle or next(iter(self.sessions)), None)
        self.sessions[turn.id] = session
        _USED.get(set()).add(turn.id)
        return session

    @contextmanager
    def run(self) -> Iterator[None]:
        """While a graph runs: of a turn that breaks off, wherever that is, nothing stays in memory."""
        used = set[str]()
        before = _USED.set(used)
        try:
            yield
        except BaseException:
            for turn in used:
                self.sessions.pop(turn, None)
            raise
        finally:
            _USED.reset(before)

    def let_go(self, state: AgentState) -> None:
        """Forget the working memory of a turn that broke off; whoever can go on with it makes it again."""
        if (turn := state.get("turn")) is not None:
            self.sessions.pop(turn.id, None)

    def known(self, before: Sequence[Sequence[AnyMessage]]) -> History | None:
        """The history in these messages, where it was read before and they are the same."""
        found = self.histories.get(str(before[-1][-1].id)) if before else None
        return found if found is not None and len(found) == len(before) else None

    def _history(self, before: Sequence[Sequence[AnyMessage]]) -> History:
        """The turns before one, with their token streams where the model has one."""
        last = before[-1][-1].id if before else None
        history = read_history(before, self.histories.get(last or "", History()))
        if self.engine.has_stream and any(not turn.stream for turn in history):
            pipeline, whole = self.engine.pipeline, History()
            for turn in history:
                said = turn.text and (turn.images or turn.request.text or turn.number == 1)
                empty = turn.steps and all(step.outcome != "ok" for step in turn.steps) and not turn.images
                if not turn.stream and said and not empty:
                    turn = turn.model_copy(update={"stream": as_said(pipeline, turn)})
                whole = whole.then(turn)
            history = whole
        return history

    def remember(self, history: History, key: str) -> None:
        """Keep a history that was read, for the turn that follows the message `key`."""
        self.histories[key] = history
        while len(self.histories) > _KEPT:
            del self.histories[next(iter(self.histories))]


def thread_id() -> str | None:
    """The id of the thread that the graph runs on; None where nothing is kept of it, whatever its caller calls it."""
    runtime: Any = get_runtime()
    given = get_config().get("configurable", {})
    outside = runtime is None or runtime.execution_info is None  # the state is changed, which only a checkpointer can
    kept = outside or given.get(CONFIG_KEY_CHECKPOINTER)
    return str(given["thread_id"]) if kept and given.get("thread_id") is not None else None


def settings_of(runtime: Runtime[TurnSettings], parts: AgentParts) -> TurnSettings:
    """The settings of a run: those of the graph, but for what the run's context says otherwise. A graph that ours runs
    in may have a context of its own, which says nothing to us."""
    given: Any = runtime.context
    if isinstance(given, TurnSettings):
        return parts.settings.with_options({name: getattr(given, name) for name in given.model_fields_set})
    if isinstance(given, dict):  # as LangGraph's server hands it over
        return parts.settings.with_options({k: v for k, v in given.items() if k in TurnSettings.model_fields})
    return parts.settings


def guarded(parts: AgentParts, node: Callable[..., Any], retries: int = 1) -> Node:
    """A node whose faults become steps that say so; what was cancelled stays cancelled.

    Args:
        retries: attempts at what may work in a moment; the graph makes them.
    """

    @wraps(node)
    def run(state: AgentState, runtime: Runtime[TurnSettings]) -> Any:
        try:
            return node(parts, state, runtime)
        except (GraphBubbleUp, Cancelled, StoreFailed, ThreadQuarantined):
            raise
        except Exception as fault:
            info = runtime.execution_info
            again = is_transient(fault) and info is not None and info.node_attempt < retries
            if again or is_invalid_resume(fault):  # an answer that does not fit: the question stays open
                raise
            return _failed(parts, state, fault, runtime)

    return run


def _failed(parts: AgentParts, state: AgentState, fault: Exception, runtime: Runtime[TurnSettings]) -> dict[str, Any]:
    """A fault as a step that says so.

    Raises:
        the fault, where even a turn of faults does not come to its end.
    """
    action = next_action(state)
    if isinstance(fault, Spent):
        session = parts.session(state)
        return {"stopped": str(fault), "trials": [], "stream": session.stream()}
    if two_errors(state["steps"]):
        raise fault
    text = str(fault) if isinstance(fault, (InvalidRequest, ImageRejected)) else f"{type(fault).__name__}: {fault}"
    said = " ".join(text.split())[:_REASONS]
    step = Step(
        action="understand" if action is None else action.kind,
        outcome="error",
        text=said,
        source=None if action is None else action.image,
        tool=None if action is None else action.tool,
        arguments={} if action is None else action.arguments,
        probabilities={} if action is None else action.probabilities,
        tried=tried(state["trials"]),
    )
    runtime.stream_writer(events.StepFailed(step))
    update: dict[str, Any] = {"steps": [*state["steps"], step], "trials": []}
    if action is not None:
        update["messages"] = [result(action, f"This failed: {said}", "error"), *dropped(state, action)]
    return update


def dropped(state: AgentState, action: Action, reason: str = "what came before it failed") -> list[ToolMessage]:
    """Results of the calls behind one, which are not made because of what came of it."""
    _, calls = open_calls(state["messages"])
    return [
        ToolMessage(f"This was not done, because {reason}.", tool_call_id=str(c["id"]), name=c["name"], status="error")
        for c in calls
        if str(c["id"]) != action.call
    ]


def two_errors(steps: Sequence[Step]) -> bool:
    """Whether the last two steps were errors."""
    return len(steps) >= 2 and steps[-1].outcome == steps[-2].outcome == "error"


def tried(trials: Sequence[Trial], kept: Trial | None = None) -> tuple[Tried, ...]:
    """The drawings of a step but for the one that is kept."""
    left = [trial for trial in trials if trial is not kept and trial.key is not None]
    return tuple(Tried(key=str(trial.key), seed=trial.seed, unsure=trial.unsure) for trial in left)
