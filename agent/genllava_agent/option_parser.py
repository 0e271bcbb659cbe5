"""How the command line reads what was typed."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any, NoReturn

from genllava.errors import InvalidRequest


class OptionParser(ArgumentParser):
    """Takes no abbreviations; a mistake is an `InvalidRequest`, told as every other error is told."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings, allow_abbrev=False)

    def error(self, message: str) -> NoReturn:
        raise InvalidRequest(message)
