"""`python -m genllava_finetune.worlds.shapes.training RECIPE`: make the shapes model, part by part.

The general trainer (`genllava finetune`) makes a model from parts that exist; this makes the parts themselves.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from genllava.errors import GenLlavaError


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m genllava_finetune.worlds.shapes.training", description=__doc__)
    parser.add_argument("recipe", metavar="RECIPE", help="shapes, shapes-research, or a YAML file")
    parser.add_argument("--quick", action="store_true", help="the recipe's short profile")
    which = parser.add_mutually_exclusive_group()
    which.add_argument("--all", action="store_true", dest="all_parts", help="make every part from nothing")
    which.add_argument("--part", choices=("joint", "controlnet"), default="joint", help="the part to train by itself")
    parser.add_argument("--resume", action="store_true", help="go on with what is in the output folder")
    parser.add_argument(
        "-o", "--output", type=Path, metavar="FOLDER", help="for parts, checkpoints, logs and the model; runs/RECIPE"
    )
    given = parser.parse_args()
    from genllava_finetune.worlds.shapes.training import command  # --help needs no PyTorch

    try:
        command.run(given.recipe, given.output, given.quick, given.all_parts, given.resume, part=given.part)
    except GenLlavaError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
