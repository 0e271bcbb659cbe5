"""The graph is what its documentation draws, and fits on a screen; and how faults come out of it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from genllava_agent import VisualAgent, nodes

ROOT = Path(__file__).resolve().parents[2]


def test_the_documentation_draws_the_graph(agent: VisualAgent) -> None:
    drawn = re.findall(r"^ +(\w+) (-->|-\.->) (\w+)$", (ROOT / "docs" / "agent.md").read_text(), re.M)
    ends = {"__start__": "start", "__end__": "stop"}
    edges = {
        (ends.get(edge.source, edge.source), "-.->" if edge.conditional else "-->", ends.get(edge.target, edge.target))
        for edge in agent.graph.get_graph().edges
    }
    assert set(drawn) == edges


def test_the_wiring_fits_on_a_screen() -> None:
    assert len((ROOT / "agent" / "genllava_agent" / "graph.py").read_text().splitlines()) <= 100


class Refused(Exception):
    """As those of clients of servers, which want more than they keep."""

    def __init__(self, message: str, *, response: int) -> None:
        super().__init__(message)
        self.response = response


class Coded(Exception):
    """As those that say more than they are given."""

    def __init__(self, code: int) -> None:
        super().__init__(f"code {code}")


FAULTS = [OSError(28, "No space", "/x"), KeyError("k"), Refused("no", response=403), Coded(5)]


@pytest.mark.parametrize("fault", FAULTS, ids=repr)
def test_a_fault_that_comes_out_is_another_that_says_the_same(fault: Exception) -> None:
    other = nodes._like(fault)
    assert other is not fault
    assert (type(other), str(other), vars(other)) == (type(fault), str(fault), vars(fault))
