"""The graph is what its documentation draws, and fits on a screen."""

from __future__ import annotations

import re
from pathlib import Path

from genllava_agent import VisualAgent

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
