"""`python -m benchmarks.things_test_file`: the test file of the things world, with a model in the agent."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from genllava_agent import VisualAgent
from genllava_finetune.worlds.things.grading.test_file_cases import TestChat, half, load_test_file
from genllava_finetune.worlds.things.grading.test_file_run import run_test_file


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.things_test_file", description=__doc__
    )
    parser.add_argument("--model", help="folder of a saved model; default: the shipped one")
    parser.add_argument("--n", type=int, help="the first so many chats, and as many single requests")
    parser.add_argument("--split-half", choices=("dev", "test"), help="every other case: for tuning, or for figures")
    parser.add_argument("--device")
    parser.add_argument("-o", "--output", type=Path, help="file for the whole report, as JSON")
    given = parser.parse_args()
    cases: Sequence[TestChat] = load_test_file()
    if given.split_half is not None:
        cases = half(cases, given.split_half)
    if given.n is not None:
        chats, single = [c for c in cases if not c.single], [c for c in cases if c.single]
        cases = [*chats[: given.n], *single[: given.n]]
    with VisualAgent(given.model, device=given.device, store=":memory:", tools="visual") as agent:
        report = run_test_file(lambda case: agent.thread(case.id), cases, path=given.output)
    for name, share in report.shares().items():
        if share.n:
            print(f"{name}: {share} of {share.n}")


if __name__ == "__main__":
    main()
