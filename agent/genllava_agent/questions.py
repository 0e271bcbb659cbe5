"""What a turn may ask its user, in the form of LangChain's human-in-the-loop, and what may be answered."""

from __future__ import annotations

from typing import Any, Final, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from genllava.errors import InvalidRequest
from genllava_agent.errors import InvalidAnswer
from genllava_agent.messages import check_request
from genllava_agent.records import Question
from genllava_agent.state import Action

_SHOWN = 200
"""Characters of an argument of a tool that are shown in a question; the question has them whole besides."""
_VERBS = {"understand": "answer in words", "generate": "draw a new picture", "edit": "edit a picture"}
QUESTION: Final = "question"
"""Key of an interrupt's value: the question as `Question` has it."""
_WORDS: Final = {"yes": "approve", "no": "reject"}


class EditedAction(BaseModel):
    """A call as the user wants it."""

    model_config = ConfigDict(extra="forbid")

    name: str
    args: dict[str, Any] = Field(default_factory=dict)


class Decision(BaseModel):
    """What the user says to a call.

    Attributes:
        type: `edit` makes it with other arguments.
        edited_action: the call as it is to be made, for `edit`.
        message: why not, for `reject`.
    """

    model_config = ConfigDict(extra="forbid")

    type: Literal["approve", "edit", "reject"]
    edited_action: EditedAction | None = None
    message: str | None = None

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if (self.type == "edit") != (self.edited_action is not None):
            raise ValueError("`edit`, and nothing else, comes with an `edited_action`")
        return self


class Answer(BaseModel):
    """The answer to an interrupt: `{"decisions": [{"type": "approve"}]}`.

    The list of older front ends, `[{"type": "accept", "args": ...}]`, is read as well, and short forms:
    `{"decision": "approve"}`, `{"decision": "edit", "instruction": "..."}`,
    `{"decision": "reject", "reason": "..."}`, and `{"choice": "edit"}` where it was asked what is meant.
    """

    model_config = ConfigDict(extra="forbid")

    decisions: list[Decision] = Field(min_length=1, max_length=1)

    @model_validator(mode="before")
    @classmethod
    def _whole(cls, given: Any) -> Any:
        if isinstance(given, list):
            return {"decisions": [_newer(each) for each in given]}
        if not isinstance(given, dict) or "decisions" in given:
            return given
        known = {"decision", "instruction", "reason"} if "decision" in given else {"choice"}
        if not given or set(given) - known:
            raise ValueError("an answer has `decisions`, one `decision` or one `choice`")
        if "choice" in given:
            return {"decisions": [{"type": "edit", "edited_action": {"name": given["choice"]}}]}
        made: dict[str, Any] = {"type": given["decision"]}
        instruction = given.get("instruction")
        if made["type"] == "edit" and not str(instruction or "").strip():
            raise ValueError("`edit` needs an instruction")
        if made["type"] != "edit" and instruction is not None:
            raise ValueError(f"`{made['type']}` takes no instruction")
        if instruction is not None:
            made["edited_action"] = {"name": "", "args": {"instruction": instruction}}
        if given.get("reason") is not None:
            made["message"] = given["reason"]
        return {"decisions": [made]}


def _newer(given: Any) -> Any:
    """An answer in the older form of LangChain's agent inbox, in today's."""
    if not isinstance(given, dict):
        return given
    kind, args = given.get("type"), given.get("args")
    if kind == "accept":
        return {"type": "approve"}
    if kind == "edit" and isinstance(args, dict):
        return {"type": "edit", "edited_action": {"name": args.get("action", ""), "args": args.get("args", {})}}
    if kind in ("response", "ignore"):
        return {"type": "reject", **({"message": args} if isinstance(args, str) else {})}
    return given


def interrupt_value(question: Question, allowed: list[str]) -> dict[str, Any]:
    """The value of an interrupt: LangChain's request for a human's decision, and the question itself."""
    name = question.tool or question.action
    arguments = question.arguments if question.tool else {"instruction": question.instruction}
    if question.image is not None and not question.tool:
        arguments = {**arguments, "image": question.image}
    older = {"allow_ignore": True, "allow_respond": True, "allow_edit": "edit" in allowed, "allow_accept": True}
    return {
        "action_request": {"action": name, "args": arguments},  # these three as older front ends read them
        "config": older,
        "description": question.text,
        "action_requests": [{"name": name, "args": arguments, "description": question.text}],
        "review_configs": [{"action_name": name, "allowed_decisions": allowed}],
        QUESTION: question.model_dump(mode="json", exclude_defaults=True, exclude={"interrupt"}),
    }


def question_in(value: Any, interrupt: str) -> Question | None:
    """The question of an interrupt; None of an interrupt that is not ours."""
    if not isinstance(value, dict) or QUESTION not in value:
        return None
    return Question.model_validate({**value[QUESTION], "interrupt": interrupt})


def foreign_question(value: Any, interrupt: str) -> Question:
    """The interrupt of a tool as a question; it is answered with whatever the tool wants."""
    text = value if isinstance(value, str) else str(value.get("text", value) if isinstance(value, dict) else value)
    return Question(kind="tool", text=text, action="tool", instruction="", choices=(), interrupt=interrupt)


def checked_answer(question: Question, answer: Any) -> Any:
    """The answer to a question as the graph takes it.

    Raises:
        InvalidAnswer: it does not fit.
    """
    if question.kind == "tool":
        return answer
    try:
        decision = Answer.model_validate(answer).decisions[0]
    except ValidationError as error:
        reason = error.errors(include_url=False)[0]["msg"]
        raise InvalidAnswer(
            f"{answer!r} does not answer {question.text!r}: {reason}. One of: {', '.join(question.choices)}"
        ) from None
    if complaint := _complaint(question, decision):
        raise InvalidAnswer(complaint)
    return decision_dump(decision)


def answer_to(question: Question) -> type[Answer]:
    """`Answer`, of which only those that fit the question are valid: a graph refuses others, and goes on waiting."""

    class Fitting(Answer):
        model_config = ConfigDict(title="Answer")

        @model_validator(mode="after")
        def _answers(self) -> Self:
            if complaint := _complaint(question, self.decisions[0]):
                raise ValueError(complaint)
            return self

    return Fitting


def _complaint(question: Question, decision: Decision) -> str:
    """What is wrong with an answer to a question of ours; empty where nothing is."""
    changed, choices = decision.edited_action, ", ".join(question.choices)
    if question.kind == "clarification":
        choice = decision.type if changed is None else changed.name
        if choice not in (*question.choices, "approve", "reject"):
            return f"{choice!r} is not possible here: {choices}"
    elif changed is not None and question.tool is not None and not changed.name:
        return f"a call of a tool takes no other words: {choices}"
    elif changed is not None and changed.name not in ("", asked := question.tool or question.action):
        return f"a call of {asked} cannot become one of {changed.name}: {choices}"
    elif changed is not None and question.tool is None and not changed.args:
        return f"an edit says what is to be other than it was asked: {choices}"
    for each in (decision.message or None, None if changed is None else changed.args.get("instruction")):
        try:
            if each is not None:
                check_request(each)
        except InvalidRequest as error:
            return str(error)
    return ""


def decision_dump(decision: Decision) -> dict[str, Any]:
    """An answer with one decision, as plain data."""
    return {"decisions": [decision.model_dump(exclude_none=True)]}


def answer_in_words(question: Question, text: str) -> dict[str, Any] | None:
    """The answer that a message of the user is, where it is one of the choices that the question shows; else None.

    For an approval `yes` and `no` are choices as well.
    """
    said = text.strip().lower()
    if question.kind == "approval":
        said = _WORDS.get(said, said)
        return {"decision": said} if said in ("approve", "reject") else None
    return {"choice": said} if question.kind == "clarification" and said in question.choices else None


def ask_approval(action: Action, request: str, focus: str | None) -> Question:
    """Whether a call should be made."""
    image = action.image or (focus if action.kind == "edit" else None)
    instruction, choices = action.instruction, ["approve", "edit", "reject"]
    if action.kind == "tool":  # it has arguments, which other words do not change
        given = {name: repr(value) for name, value in action.arguments.items()}
        arguments = ", ".join(f"{k}={v if len(v) <= _SHOWN else f'{v[:_SHOWN]}…'}" for k, v in given.items())
        what, instruction, choices = f"call {action.tool}({arguments})", request, ["approve", "reject"]
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


def ask_meaning(action: Action, kinds: list[str], focus: str | None) -> Question:
    """Which of the likely calls is meant."""
    options = ", or ".join(_VERBS[kind] for kind in kinds)
    return Question(
        kind="clarification",
        text=f"You asked: {action.instruction!r}. I am not sure what you mean. Should I {options}?",
        action=action.kind,
        instruction=action.instruction,
        image=focus,
        choices=tuple(kinds),
        probabilities=action.probabilities,
    )
