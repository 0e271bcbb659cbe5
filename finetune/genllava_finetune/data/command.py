"""`genllava data`: prepare public data sets, look into them, check them, and have chat models write new ones.

Each command has a function that adds its options and one that runs it, both in the module that is named in `COMMANDS`
and imported when the command is called.
"""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from collections.abc import Sequence
from importlib import import_module
from typing import Final

COMMANDS: Final[dict[str, tuple[str, str]]] = {
    "prepare": ("genllava_finetune.data.prepare_command", "Convert a public data set into rows for training."),
    "stats": ("genllava_finetune.data.stats_command", "Say what data sets consist of: counts, lengths, licences."),
    "view": ("genllava_finetune.data.view_command", "Write a page of samples to leaf through."),
    "export": ("genllava_finetune.data.export_command", "Write prepared data in the layout of another trainer."),
    "check": ("genllava_finetune.data.check_command", "Find damaged rows, duplicates, and pictures of benchmarks."),
    "curate": ("genllava_finetune.curate.command", "Have a chat model write rows about pictures with captions."),
}
"""By name: the module with `add_options(parser)` and `run(options) -> int` (the exit code), and what it does."""


def run(words: Sequence[str], parser: ArgumentParser) -> int:
    """Run a command on data, or explain what there is.

    Args:
        words: what was typed behind `genllava data`.
        parser: an empty one, which raises `InvalidRequest` for what cannot be understood.

    Returns:
        The exit code.

    Raises:
        InvalidRequest: what was typed cannot be done; the message says what to type instead.
        DataError: data cannot be read or written.
    """
    made = parser.add_subparsers(metavar="COMMAND", dest="command")
    for name, (module, says) in COMMANDS.items():
        command = made.add_parser(name, description=says, help=says)
        if name in words[:1]:
            import_module(module).add_options(command)
    options = parser.parse_args(words)
    if options.command is None:
        parser.print_help()
        return 0
    return _run(options)


def _run(options: Namespace) -> int:
    code: int = import_module(COMMANDS[options.command][0]).run(options)
    return code
