"""What a turn may ask its user, and what may be answered."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, model_validator

from genllava_agent.records import Question, Verb
from genllava_agent.state import AgentState
from genllava_agent.workers import KINDS

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


def ask_approval(state: AgentState) -> Question:
    """Whether the action that was chosen should be done."""
    action = state["action"]
    assert action is not None
    image = action.image or (state["focus"] if action.kind == "edit" else None)
    what = f"call {action.tool}" if action.kind == "tool" else _VERBS[action.kind]
    return Question(
        kind="approval",
        text=f"You asked: {action.instruction!r}. Should I {what}?",
        action=action.kind,
        instruction=action.instruction,
        image=image,
        choices=("approve", "edit", "reject"),
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
        text=f"I am not sure what you mean. Should I {options}?",
        action=action.kind,
        instruction=action.instruction,
        image=state["focus"],
        choices=tuple(kinds),
        probabilities=action.probabilities,
    )
