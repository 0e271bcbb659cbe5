"""Links of pages, which are written as paths from file to file of the repository."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Callable
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parents[2]
START: Final = "README.md"
"""The first page of the site."""
PLACE: Final = "repository"
"""The folder of the site for files that are not in docs/."""
PICTURES: Final = (".png", ".jpg", ".jpeg", ".gif", ".svg")
LINK: Final = re.compile(r"(?<=\]\()([^()\s#:]*)(#[^()\s]*)?(?=\))")
"""The target of a link to a file, and what part of it."""
_CODE: Final = re.compile(r"^ *(`{3,}).*?^ *\1 *$|(`+)(?!`).+?(?<!`)\2(?!`)", re.M | re.S)


def site_path(path: str) -> str:
    """The path of a file on the site, by its path in the repository."""
    if path == START:
        return "index.md"
    if path.startswith("docs/"):
        return path.removeprefix("docs/")
    return f"{PLACE}/{path}" if path.endswith((".md", *PICTURES)) else f"{PLACE}/{path}.md"


def repository_path(page: str, target: str) -> str | None:
    """The file in the repository that a page there links to; of a folder its README. None where there is none."""
    path = posixpath.normpath(posixpath.join(posixpath.dirname(page), target)) if target else page
    file = ROOT / path
    if file.is_dir():
        path, file = posixpath.normpath(posixpath.join(path, START)), file / START
    return path if not path.startswith("..") and file.is_file() else None


def outside_of_code(text: str, change: Callable[[str], str]) -> str:
    """A page in Markdown with everything changed but its code."""
    parts, end = [], 0
    for code in _CODE.finditer(text):
        parts += [change(text[end : code.start()]), code[0]]
        end = code.end()
    return "".join([*parts, change(text[end:])])


def without_code(text: str) -> str:
    """A page in Markdown without its blocks of code, and with one letter for each piece of code in a line."""
    return _CODE.sub("x", text)


def links_of(text: str) -> list[tuple[str, str]]:
    """The links of a page to files: path, and part with its `#`; either may be empty."""
    return [(found[1], found[2] or "") for found in LINK.finditer(without_code(text)) if found[0]]
