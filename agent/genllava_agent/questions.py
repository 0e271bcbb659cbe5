"""What a turn may ask its user, and what may be answered."""

from __future__ import annotations

from typing import Any, Literal, Self, TypeVar

from langgraph.types import interrupt
from pydantic import BaseModel, ConfigDict, ValidationError, model_validator

from genllava.errors import InvalidRequest
from genllava_agent.errors import InvalidAnswer
from genllava_agent.records import Question, Verb
from genllava_agent.state import AgentState
from genllava_agent.workers import KINDS

_SHOWN = 200
"""Characters of an argument of a tool that are shown in a question; the question has them whole besides."""
_VERBS = {"understand": "answer in words", "generate": "draw a new picture", "edit": "edit a picture"}


class Approval(BaseModel):
    """An answer to whether something should be done.

    Attributes:
        decision: `edit` does it with another instruction.
        instruction: the other one.
        reason: why not, for `reject`.
    """

    model_config = ConfigDict(extra="forbid")

    decision: Literal["approve", "edit", "reject"]
    instruction: str | None = None
    reason: str | None = None

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.decision == "edit" and not (self.instruction or "").strip():
            raise ValueError("`edit` needs an instruction")
        if self.decision != "edit" and self.instruction is not None:
            raise ValueError(f"`{self.decision}` takes no instruction")
        return self


class Clarification(BaseModel):
    """An answer to what is meant."""

    model_config = ConfigDict(extra="forbid")

    choice: Verb


Answer = TypeVar("Answer", Approval, Clarification)


def ask(question: Question, schema: type[Answer]) -> Answer:
    """Ask in the middle of a turn until the answer fits; a node that calls this does nothing before."""
    complaint = ""
    while True:
        asked = question.model_copy(update={"text": complaint + question.text})
        try:
            answer = interrupt(asked.model_dump(), response_schema=schema)
            return checked_answer(question, schema, answer)
        except (InvalidAnswer, ValidationError) as error:
            complaint = f"{_reason(error)}. "


def checked_answer(question: Question, schema: type[Answer], answer: Any) -> Answer:
    """The answer to a question.

    Raises:
        InvalidAnswer: it does not fit.
    """
    from genllava_agent.inbox import check_request

    try:
        checked = schema.model_validate(answer)
    except ValidationError as error:
        raise InvalidAnswer(
            f"{answer!r} does not answer {question.text!r}: {_reason(error)}. One of: {', '.join(question.choices)}"
        ) from None
    if isinstance(checked, Clarification) and checked.choice not in question.choices:
        raise InvalidAnswer(f"{checked.choice!r} is not possible here: {', '.join(question.choices)}")
    if isinstance(checked, Approval):
        if checked.decision not in question.choices:
            raise InvalidAnswer(f"a call of a tool takes no other words: {', '.join(question.choices)}")
        for words in filter(None, (checked.instruction, checked.reason)):
            try:
                check_request(words)
            except InvalidRequest as error:
                raise InvalidAnswer(str(error)) from None
    return checked


def _reason(error: InvalidAnswer | ValidationError) -> str:
    return error.errors(include_url=False)[0]["msg"] if isinstance(error, ValidationError) else str(error)


def ask_approval(state: AgentState) -> Question:
    """Whether the action that was chosen should be done."""
    action = state["action"]
    assert action is not None
    image = action.image or (state["focus"] if action.kind == "edit" else None)
    instruction, choices = action.instruction, ["approve", "edit", "reject"]
    if action.kind == "tool":  # it has arguments, which other words do not change
        given = {name: repr(value) for name, value in action.arguments.items()}
        arguments = ", ".join(f"{k}={v if len(v) <= _SHOWN else f'{v[:_SHOWN]}…'}" for k, v in given.items())
        what, instruction, choices = f"call {action.tool}({arguments})", state["request"].text, ["approve", "reject"]
    else:
        what = _VERBS[action.kind]
    return Question(
        kind="approval",
        text=f"You asked: {instruction!r}. Should I {what}?",
        action=action.kind,
        instruction=instruction,
        image=image,
        choices=tuple(choices),
        probabilities=action.probabilities,
        tool=action.tool,
        arguments=action.arguments,
    )


def ask_meaning(state: AgentState) -> Question:
    """Which of the likely actions is meant."""
    action = state["action"]
    assert action is not None
    kinds = [KINDS[token] for token in action.probabilities if token in KINDS]
    options = ", or ".join(_VERBS[kind] for kind in kinds)
    return Question(
        kind="clarification",
        text=f"You asked: {action.instruction!r}. I am not sure what you mean. Should I {options}?",
        action=action.kind,
        instruction=action.instruction,
        image=state["focus"],
        choices=tuple(kinds),
        probabilities=action.probabilities,
    )
