"""`python -m genllava_finetune.train RECIPE`, also by `accelerate launch -m`."""

from __future__ import annotations

import sys

from genllava.errors import GenLlavaError
from genllava_finetune.train.command import main

if __name__ == "__main__":
    try:
        main()
    except GenLlavaError as error:
        print(error, file=sys.stderr)
        sys.exit(2)
