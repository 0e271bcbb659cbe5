"""How the command line reads what was typed."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from typing import Any, NoReturn

from genllava.errors import InvalidRequest


class OptionParser(ArgumentParser):
    """Takes no abbreviations; a mistake is an `InvalidRequest`, told as every other error is told."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings, allow_abbrev=False)

    def error(self, message: str) -> NoReturn:
        raise InvalidRequest(message)


def options_given(options: Namespace, *names: str) -> dict[str, Any]:
    """Those of the named options that were given; what was not is the model's to decide."""
    return {name: value for name in names if (value := getattr(options, name, None)) is not None}
