"""What may be typed in a chat as an answer to a question, and what it means."""

from __future__ import annotations

from typing import Any

import pytest

from genllava_agent.records import Question
from genllava_agent.terminal.conversation import parse_answer, possible_answers

APPROVAL = Question(
    kind="approval", text="?", action="generate", instruction="x", choices=("approve", "edit", "reject")
)
OF_A_TOOL = Question(kind="approval", text="?", action="tool", instruction="x", choices=("approve", "reject"))
ASKED_BY_A_TOOL = Question(kind="tool", text="How far?", action="tool", instruction="", choices=())
MEANING = Question(kind="clarification", text="?", action="edit", instruction="x", choices=("edit", "understand"))


@pytest.mark.parametrize(
    ("question", "line", "answer"),
    [
        (APPROVAL, "approve", {"decision": "approve"}),
        (APPROVAL, " Yes ", {"decision": "approve"}),
        (APPROVAL, "yes please", None),
        (APPROVAL, "no", {"decision": "reject", "reason": None}),
        (APPROVAL, "reject: too red", {"decision": "reject", "reason": "too red"}),
        (APPROVAL, "edit a blue one", {"decision": "edit", "instruction": "a blue one"}),
        (APPROVAL, "edit", None),
        (OF_A_TOOL, "edit a blue one", None),
        (OF_A_TOOL, "yes", {"decision": "approve"}),
        (APPROVAL, "", None),
        (APPROVAL, "/quit", None),
        (ASKED_BY_A_TOOL, "no", "no"),
        (MEANING, "1", {"choice": "edit"}),
        (MEANING, "understand", {"choice": "understand"}),
        (MEANING, "3", None),
        (MEANING, "0", None),
        (MEANING, "9" * 5000, None),
        (MEANING, "generate", None),
        (MEANING, "1 or 2", None),
    ],
)
def test_what_is_an_answer(question: Question, line: str, answer: dict[str, Any] | None) -> None:
    assert parse_answer(question, line) == answer


def test_what_may_be_answered() -> None:
    assert possible_answers(APPROVAL) == ["approve", "edit OTHER WORDS", "reject [WHY]"]
    assert possible_answers(OF_A_TOOL) == ["approve", "reject [WHY]"]
    assert possible_answers(ASKED_BY_A_TOOL) == []
    assert possible_answers(MEANING) == ["1 edit", "2 understand"]
