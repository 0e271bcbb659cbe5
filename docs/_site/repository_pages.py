"""A hook of MkDocs: the README as the first page, and on the site whatever pages link to outside of docs/.

Links are written for readers of the repository, as paths from file to file. Here each becomes a link between pages.
What lies outside of docs/ becomes a page under repository/: Markdown as it is, a notebook with its outputs, other text
as a block of code. So a copy of the site is complete, and of one version.
"""

from __future__ import annotations

import json
import posixpath
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from flowchart import FLOWCHART, drawn
from links import LINK, PICTURES, ROOT, START, links_of, outside_of_code, repository_path, site_path
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

_LANGUAGES: Final = {".py": "python", ".yaml": "yaml", ".yml": "yaml", ".cff": "yaml", ".toml": "toml", ".json": "json"}


def page_of(path: str) -> str:
    """A file of the repository as a page in Markdown."""
    text = (ROOT / path).read_text(encoding="utf-8")
    if path.endswith(".md"):
        return text
    if path.endswith(".ipynb"):
        return "\n\n".join(shown for cell in json.loads(text)["cells"] for shown in _cell(cell))
    return f"# {path}\n\n{_fenced(text, _LANGUAGES.get(Path(path).suffix, 'text'))}\n"


def _fenced(text: str, language: str) -> str:
    return f"````{language}\n{text.rstrip()}\n````"


def _cell(cell: dict[str, Any]) -> Iterator[str]:
    source = "".join(cell["source"])
    yield source if cell["cell_type"] == "markdown" else _fenced(source, "python")
    for output in cell.get("outputs", ()):
        data = output.get("data", {"text/plain": output.get("text", "")})
        picture = next((kind for kind in ("image/png", "image/jpeg") if kind in data), None)
        if picture is not None:
            encoded = "".join("".join(data[picture]).split())
            yield f'<img alt="What this cell shows" src="data:{picture};base64,{encoded}">'
        elif text := "".join(data["text/plain"]).strip():
            yield _fenced(text, "text")


def on_files(files: Files, *, config: MkDocsConfig) -> Files:
    """Add the README, and what pages link to, and what those link to."""
    waiting = [START, *(f"docs/{file.src_uri}" for file in files.documentation_pages())]
    known = set(waiting)
    for path in waiting:  # it grows
        content = (ROOT / path).read_bytes() if path.endswith(PICTURES) else page_of(path)
        if not path.startswith("docs/"):
            files.append(File.generated(config, site_path(path), content=content))
        if path.endswith(".md"):
            found = {repository_path(path, target) for target, _ in links_of(str(content))}
            new = {other for other in found if other is not None and not other.startswith("docs/")} - known
            known |= new
            waiting += sorted(new)
    _origins.update({site_path(path): path for path in waiting})
    return files


_origins: dict[str, str] = {}
"""The path in the repository of each page, by its path on the site."""


def on_page_markdown(markdown: str, *, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Links from page to page of the site, and flowcharts as drawings."""
    here = page.file.src_uri
    origin = _origins[here]

    def relative(found: re.Match[str]) -> str:
        path = repository_path(origin, found[1]) if found[1] else None
        if path is None:  # a part of this page, or nowhere, as MkDocs then says
            return found[0]
        return posixpath.relpath(site_path(path), posixpath.dirname(here) or ".") + (found[2] or "")

    linked = outside_of_code(markdown, lambda part: LINK.sub(relative, part))
    return FLOWCHART.sub(lambda found: drawn(found[1]), linked)
