"""A model that was taught task tokens decides by the next one: nothing has to be parsed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from langchain_core.messages import AnyMessage

from genllava.protocols.shapes.picture_numbers import out_of_reach
from genllava.protocols.task_tokens import TOOL
from genllava_agent.deciders.base import Possible, TellText, call_message, last_words
from genllava_agent.deciders.offers import tool_spec
from genllava_agent.records import Kind
from genllava_agent.session import Session
from genllava_agent.state import AgentState, asked
from genllava_agent.workers import KINDS, TASK_TOKENS, StreamWorker, Worker

if TYPE_CHECKING:
    from genllava.protocols.shapes.conversation import Conversation

FINISH: Final = "</s>"
_SURE: Final = 0.9
"""How likely it must be that something new is to be drawn, where the request names a picture that it cannot become."""


class TaskTokens:
    """The model's next task token, out of those that are possible."""

    worker: Worker = StreamWorker()
    needs_model = True
    speaks = False

    def __init__(self, tools: Any = None) -> None:
        self.tools = dict(tools or {})

    def decide(self, session: Session, state: AgentState, possible: Possible, tell: TellText) -> list[AnyMessage]:
        """A call of `understand`, `generate` or `edit`, or the end of the turn."""
        conversation = session.conversation(state)
        allowed = [TASK_TOKENS[kind] for kind in possible.kinds if kind in TASK_TOKENS]
        tools = self._callable(state) if "tool" in possible.kinds else {}
        if tools:
            allowed.append(TOOL)
        if possible.finish:
            allowed.append(FINISH)
        probabilities = conversation.next_action(allowed, session.interrupted)
        token, seen = next(iter(probabilities)), conversation.seen
        if token == FINISH:
            return [last_words("", probabilities, seen)]
        if token == TOOL:
            return [self._call(conversation, tools, asked(state).text, probabilities, seen)]
        kind: Kind = KINDS[token]  # type: ignore[assignment]
        instruction = conversation.request or asked(state).text
        unknown = ""
        if kind != "generate":
            unknown = out_of_reach(conversation, instruction)
        elif probabilities[token] < _SURE:
            unknown = out_of_reach(conversation, instruction, new=1)
        if unknown:
            spoken = any(step.text for step in state["steps"])
            tell(f" {unknown}" if spoken else unknown)  # it goes on from what was said
            return [last_words(unknown, probabilities, seen)]
        return [call_message(kind, {"instruction": instruction}, "", probabilities, seen)]

    def _callable(self, state: AgentState) -> dict[str, dict[str, Any]]:
        """Tools whose arguments this model can choose, by name: their required arguments and what each may be."""
        found: dict[str, dict[str, Any]] = {}
        for name, tool in self.tools.items():
            parameters = tool_spec(tool, list(state["images"]))["function"]["parameters"]
            values = {each: _values(parameters["properties"].get(each, {})) for each in parameters["required"]}
            if all(value is not None for value in values.values()):
                found[name] = values
        return found

    @staticmethod
    def _call(
        conversation: Conversation, tools: dict[str, dict[str, Any]], request: str,
        probabilities: dict[str, float], seen: str,
    ) -> AnyMessage:  # fmt: skip
        """A name, and then arguments, each constrained to what the tool's schema allows; words are the request's."""
        names, arguments = list(tools), dict[str, Any]()
        name = names[conversation.choose("", names)]
        said = name
        for each, values in tools[name].items():
            said += f" {each}="
            arguments[each] = values[conversation.choose(said, list(map(str, values)))] if values else request
            said += str(arguments[each])
        return call_message(name, arguments, "", probabilities, seen)

    def other_words(self, session: Session, state: AgentState, instruction: str) -> dict[str, Any]:
        """The new words take the place of the request, before what else was asked."""
        try:
            with session.work(state):
                text = ". ".join(filter(None, (instruction, self.worker.left(session, state))))
                request = asked(state).model_copy(update={"text": text, "images": (), "region": None})
                self.worker.begin(session, state, request, [])
        except BaseException:
            session.go_back(state)
            raise
        return {"request": request, "stream": session.stream()}


def _values(schema: dict[str, Any]) -> list[Any] | None:
    """What an argument may be: its choices, none where it is free text, None where this model cannot choose it."""
    if "enum" in schema:
        return list(schema["enum"])
    if "const" in schema:
        return [schema["const"]]
    if schema.get("type") == "boolean":
        return [True, False]
    return [] if schema.get("type") == "string" else None
