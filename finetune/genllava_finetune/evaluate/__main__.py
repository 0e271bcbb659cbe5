"""`python -m genllava_finetune.evaluate`: a part of the suites, for measurements while tuning."""

from __future__ import annotations

import argparse
from pathlib import Path

from genllava import GenLlavaPipeline
from genllava_finetune.evaluate.command import SHIPPED, SPLITS, run, select
from genllava_finetune.worlds.base import known_worlds


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m genllava_finetune.evaluate", description=__doc__)
    parser.add_argument("--model", help="folder of a saved model; default: the shipped one")
    parser.add_argument("--world", choices=known_worlds(), default=SHIPPED)
    parser.add_argument("--split", choices=SPLITS, default="dev")
    parser.add_argument("--n", type=int, default=100, help="cases of every suite")
    parser.add_argument("--suites", help="beginnings of names, separated by commas; default: all of the world's")
    parser.add_argument("--json", type=Path, help="file to write the whole report to")
    parser.add_argument("--device")
    given = parser.parse_args()
    names = select(given.suites.split(",") if given.suites else None, given.world)
    pipeline = GenLlavaPipeline.from_pretrained(given.model, device=given.device)
    run(pipeline, given.split, given.n, names, given.json, given.world)


if __name__ == "__main__":
    main()
