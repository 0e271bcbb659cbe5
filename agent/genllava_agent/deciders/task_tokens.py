"""A model that was taught task tokens decides by the next one: nothing has to be parsed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from langchain_core.messages import AnyMessage

from genllava.protocols.shapes.layout import picture_prefix
from genllava.protocols.shapes.picture_numbers import out_of_reach
from genllava.protocols.task_tokens import I2I, TOOL
from genllava_agent.deciders.arguments import CallWriter, can_choose
from genllava_agent.deciders.base import Possible, TellText, call_message, last_words
from genllava_agent.deciders.offers import picture_arguments, tool_spec
from genllava_agent.records import Kind, image_number
from genllava_agent.session import Session
from genllava_agent.state import AgentState, asked
from genllava_agent.tool_faults import exhausted
from genllava_agent.workers import KINDS, TASK_TOKENS, StreamWorker, Worker

if TYPE_CHECKING:
    from genllava.protocols.shapes.conversation import Conversation

FINISH: Final = "</s>"
_SURE: Final = 0.9
"""How likely it must be that something new is to be drawn, where the request names a picture that it cannot become."""


class TaskTokens:
    """The model's next task token, out of those that are possible.

    Args:
        tools: the agent's own, by name.
        forced: calls that are made first in every turn, whatever the model would do: the name of a tool, and those of
            its arguments that are not left to the model. For tests and benchmarks.
    """

    worker: Worker = StreamWorker()
    needs_model = True
    speaks = False

    def __init__(self, tools: Any = None, forced: Sequence[tuple[str, Mapping[str, Any]]] = ()) -> None:
        self.tools = dict(tools or {})
        self.forced = list(forced)

    def decide(self, session: Session, state: AgentState, possible: Possible, tell: TellText) -> list[AnyMessage]:
        """A call of `understand`, `generate`, `edit` or a tool, or the end of the turn."""
        conversation = session.conversation(state)
        if (made := len(state["steps"])) < len(self.forced):
            name, given = self.forced[made]
            return [self._call(conversation, state, name, {}, given)]
        allowed = [TASK_TOKENS[kind] for kind in possible.kinds if kind in TASK_TOKENS]
        tools = self._callable(state) if "tool" in possible.kinds else []
        if tools:
            allowed.append(TOOL)
        if possible.finish:
            allowed.append(FINISH)
        probabilities = conversation.next_action(allowed, session.interrupted)
        token, seen = next(iter(probabilities)), conversation.seen
        if token == FINISH:
            return [last_words("", probabilities, seen)]
        if token == TOOL:
            return [self._call(conversation, state, _best(tools, conversation.scores("", tools)), probabilities)]
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

    def _callable(self, state: AgentState) -> list[str]:
        """Tools that the model can write a call of."""
        return [
            name
            for name, tool in self.tools.items()
            if name not in exhausted(state["steps"])
            and all(map(can_choose, self._required(tool_spec(tool, list(state["images"])))))
        ]

    @staticmethod
    def _required(spec: Mapping[str, Any]) -> list[Mapping[str, Any]]:
        parameters = spec["function"]["parameters"]
        return [parameters["properties"].get(name, {}) for name in parameters["required"]]

    def _call(
        self, conversation: Conversation, state: AgentState, name: str, probabilities: dict[str, float],
        given: Mapping[str, Any] | None = None,
    ) -> AnyMessage:  # fmt: skip
        """A call whose arguments the model chooses within the schema of the tool."""

        def picture(names: Sequence[str]) -> str:  # as it chooses one to edit, which it has learnt
            prefixes = [picture_prefix(image_number(each)) for each in names]
            return _best(names, conversation.scores("", prefixes, I2I))

        tool, request = self.tools[name], conversation.request or asked(state).text
        parameters = tool_spec(tool, list(state["images"]))["function"]["parameters"]
        writer = CallWriter(conversation.scores, picture, request, name)
        arguments = writer.write(parameters, list(picture_arguments(tool)), given)
        return call_message(name, arguments, "", probabilities, conversation.seen)

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


def _best(names: Sequence[str], scores: Sequence[float]) -> str:
    return names[max(range(len(names)), key=scores.__getitem__)]
