"""A chat model that plans: any LangChain chat model with tool calling decides, and our model does the work.

It is shown the conversation with its pictures, and calls tools: to ask about a picture, to draw one, to edit one, and
the agent's own. Each call becomes a step of the graph, which checks limits and approvals as always; what came of it
goes back to the chat model. What it says without calling anything ends the turn, and is the reply.
"""

from __future__ import annotations

import contextvars
import threading
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from langchain_core.messages import AIMessage, AnyMessage

from genllava.errors import Cancelled
from genllava_agent.deciders import Decision
from genllava_agent.errors import PlannerFailed
from genllava_agent.planner.tools import PLANNER_VERBS, Offer, Verb, offers
from genllava_agent.planner.transcript import INSTRUCTIONS, Transcript
from genllava_agent.records import Kind
from genllava_agent.session import Session, Spent, spent_limit
from genllava_agent.state import Action, AgentState
from genllava_agent.workers import VerbWorker, Worker

if TYPE_CHECKING:
    from langchain_core.language_models import BaseChatModel

_POLL: Final = 0.05
"""Seconds after which it is looked again whether the user still wants it."""


class Planner:
    """Decides by asking a chat model.

    Args:
        chat_model: one with tool calling.
        pictures: whether it is shown pictures; without them it is only told what is known of them.
        verbs: what the pipeline's verbs are called as tools.
        instructions: what it is told first; empty for nothing.

    Attributes:
        worker: does what it decides, verb by verb.
        needs_model, speaks: see `deciders`.
    """

    worker: Worker = VerbWorker()
    needs_model = False
    speaks = True

    def __init__(
        self,
        chat_model: BaseChatModel,
        *,
        pictures: bool = True,
        verbs: Mapping[Kind, Verb] = PLANNER_VERBS,
        instructions: str = INSTRUCTIONS,
    ) -> None:
        self._chat_model = chat_model
        self._pictures = pictures
        self._verbs = verbs
        self._instructions = instructions

    def decide(self, session: Session, state: AgentState, possible: list[Kind], may_finish: bool) -> Decision:
        """The next call of the chat model, or its last words.

        Raises:
            PlannerFailed: it called what cannot be called, and did so again after it was told.
            Cancelled, Spent: while it was asked; and whatever the chat model raises.
        """
        transcript = self._transcript(session, state)
        transcript.observe(state)
        names = list(session.known(state))
        offered = {} if _forced(session) else offers(session.engine.tools, names, possible, self._verbs)
        theirs = {tool["function"]["name"] for tool in session.theirs.get("tools", [])}
        while True:
            if transcript.calls:
                call = transcript.calls[0]
                if call["name"] in theirs:  # the caller does this, and what was called besides when it comes back
                    session.calls += [other for other in transcript.calls if other["name"] in theirs]
                    return Decision(None, transcript.said)
                action = _action(offered, call["name"], call["args"])
                if isinstance(action, Action):
                    transcript.corrected = False
                    return Decision(action)
                _correct(transcript, action)
            else:
                reply = self._ask(session, transcript, offered)
                if reply:
                    return Decision(None, reply)

    def other_words(self, session: Session, state: AgentState, instruction: str) -> None:
        """The user has put an instruction in the place of that of the next call: the chat model is told."""
        transcript = self._transcript(session, state)
        transcript.observe(state)
        transcript.changed = instruction

    def _transcript(self, session: Session, state: AgentState) -> Transcript:
        if not session.notes:
            session.notes.append(Transcript(session, state, self._pictures, self._instructions, self._verbs))
        transcript: Transcript = session.notes[0]
        transcript.session = session  # another one than before, where the turn has waited for an answer
        return transcript

    def _ask(self, session: Session, transcript: Transcript, offered: dict[str, Offer]) -> str:
        """Let the chat model go on; returns its last words, empty if they are not the last."""
        model: Any = self._chat_model
        theirs = dict(session.theirs)
        specs = [*(offer.spec for offer in offered.values()), *theirs.pop("tools", [])]
        if specs:
            try:
                model = model.bind_tools(specs, **theirs)
            except NotImplementedError:
                raise PlannerFailed("this chat model cannot call tools, so it cannot plan: give another one") from None
        reply = self._invoke(session, model, transcript.read())
        transcript.add(reply)
        text = str(reply.text).strip()
        if reply.invalid_tool_calls:
            _correct(transcript, f"the arguments are not valid JSON: {reply.invalid_tool_calls[0]['args']}")
        elif not reply.tool_calls and not text:
            _correct(transcript, "an empty message: call a tool, or reply in words")
        return "" if transcript.calls or reply.invalid_tool_calls else text

    def _invoke(self, session: Session, model: Any, messages: list[AnyMessage]) -> AIMessage:
        """What the chat model says to that; the turn can be cancelled while it is waited for."""
        return _patiently(session, model, messages)


def _forced(session: Session) -> bool:
    """Whether a caller wants one of its own tools called, whatever is asked."""
    return session.theirs.get("tool_choice") not in (None, False, "auto", "none")


def _action(offered: dict[str, Offer], name: str, arguments: dict[str, Any]) -> Action | str:
    """What a call does, or what is wrong with it."""
    if name in offered:
        return offered[name].action(arguments)
    return f"there is no tool {name!r} now; those that there are: {', '.join(offered) or 'none, so reply in words'}"


def _correct(transcript: Transcript, complaint: str) -> None:
    """Tell the chat model that this cannot be; but only once.

    Raises:
        PlannerFailed: it was told before.
    """
    transcript.refuse(complaint)
    if transcript.corrected:
        transcript.corrected = False
        transcript.failed = True
        raise PlannerFailed(f"the chat model that plans went wrong twice: {complaint}")
    transcript.corrected = True


def _patiently(session: Session, model: Any, messages: list[AnyMessage]) -> AIMessage:
    """Ask a chat model, which may take long, and stop waiting where the turn has to end.

    Raises:
        Cancelled, Spent: meanwhile; and whatever the chat model raises.
    """
    replies: list[AIMessage] = []
    errors: list[BaseException] = []

    def ask() -> None:
        try:  # its tokens are no reply to anybody
            replies.append(model.invoke(messages, {"tags": ["nostream"]}))
        except BaseException as error:
            errors.append(error)

    context = contextvars.copy_context()
    asking = threading.Thread(target=lambda: context.run(ask), name="planner", daemon=True)
    asking.start()
    while asking.is_alive():
        asking.join(_POLL)
        if session.cancel():
            raise Cancelled("cancelled while the chat model that plans was asked")
        if spent := spent_limit(session):
            raise Spent(spent)
    if errors:
        raise errors[0]
    return replies[0]
