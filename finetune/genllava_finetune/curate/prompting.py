"""Prompts are data files with a version; which text was used, to the byte, is part of each request's key."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from hashlib import sha256
from importlib.resources import files
from string import Template
from typing import Any

import yaml

FOLDER = files("genllava_finetune.curate") / "prompts"


@dataclass(frozen=True, slots=True)
class Prompt:
    """A prompt.

    Attributes:
        name: of its file.
        version: a whole number, raised with each change.
        system: what the model is told first.
        user: what it is then asked, with `$name` where values go.
        extra: further texts of the file, such as questions to choose from.
        label: name, version and hash of the file: what stands in the ledger.
    """

    name: str
    version: int
    system: str
    user: str
    extra: Mapping[str, Any]
    label: str

    def fill(self, values: Mapping[str, str]) -> str:
        """The user's text with values in their places.

        Raises:
            KeyError: a place has no value.
        """
        return Template(self.user).substitute(values)


@cache
def read_prompt(name: str) -> Prompt:
    """The prompt of a name, such as "llava_detail"."""
    raw = (FOLDER / f"{name}.yaml").read_bytes().replace(b"\r\n", b"\n")
    value = yaml.safe_load(raw)
    version, system, user = value.pop("version"), value.pop("system"), value.pop("user")
    return Prompt(name, version, system, user, value, f"{name}@{version}:{sha256(raw).hexdigest()[:16]}")
