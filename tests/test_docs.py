"""The documentation: links and code of its pages, the reference of public names, and the site that is made of them."""

from __future__ import annotations

import ast
import importlib
import importlib.util
import itertools
import json
import os
import re
import subprocess
import sys
import tomllib
import unicodedata
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import yaml

from genllava_agent.cli import COMMANDS

ROOT = Path(__file__).resolve().parents[1]
DOCS = ROOT / "docs"
OURS = ("genllava", "genllava_agent", "genllava_tools", "genllava_finetune")
REFERENCE = sorted(path.stem for path in (DOCS / "reference").glob("genllava*.md"))
REPEATED = 25
"""Words in a row that two pages may share: a command or two."""


def pages() -> list[str]:
    """The pages that people read, as paths in the repository."""
    others = [ROOT / "README.md", ROOT / "CHANGELOG.md", ROOT / "CONTRIBUTING.md"]
    return [path.relative_to(ROOT).as_posix() for path in sorted([*others, *DOCS.rglob("*.md")])]


def read(page: str) -> str:
    return (ROOT / page).read_text(encoding="utf-8")


def of_the_site(name: str) -> ModuleType:
    """A module of docs/_site, which is no package."""
    spec = importlib.util.spec_from_file_location(f"docs_site_{name}", DOCS / "_site" / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


LINKS = of_the_site("links")


def blocks(page: str, *languages: str) -> Iterator[tuple[str, str]]:
    """The blocks of code of a page in some languages: where each is, and its text."""
    text = read(page)
    for found in re.finditer(r"^```(\w+)\n(.*?)^```$", text, re.M | re.S):
        if found[1] in languages:
            yield f"{page}:{text.count(chr(10), 0, found.start()) + 1}", found[2]


def anchors(page: str) -> tuple[set[str], set[str]]:
    """The parts of a page that links can name: those of the site, and those of the usual viewers of repositories."""
    text = re.sub(r"^```.*?^```$", "", read(page), flags=re.M | re.S)
    headings = [re.sub(r"\[([^]]*)\]\([^)]*\)|`", r"\1", each) for each in re.findall(r"^#+ +(.+?)$", text, re.M)]
    plain = [unicodedata.normalize("NFKD", each).encode("ascii", "ignore").decode() for each in headings]
    site = {re.sub(r"[-\s]+", "-", re.sub(r"[^\w\s-]", "", each).strip().lower()) for each in plain}
    return site, {re.sub(r"[^\w -]", "", each.lower()).replace(" ", "-") for each in headings}


@pytest.mark.parametrize("page", pages())
def test_links_lead_somewhere_here_and_on_the_site(page: str) -> None:
    text = LINKS.without_code(read(page))
    html = [tuple(each.partition("#")[::2]) for each in re.findall(r'(?:src|href)="([^":]+)"', text)]
    for target, part in [*LINKS.links_of(read(page)), *html]:
        path = LINKS.repository_path(page, target)
        assert path is not None, f"{page} links to {target}, which is not there"
        if part and path.endswith(".md"):
            for known in anchors(path):
                assert part.removeprefix("#") in known, f"{page} links to {target}{part}: there is no such heading"
    for kept in re.findall(r"\]\((/[^)]*|file:[^)]*)\)", text):
        pytest.fail(f"{page} links to {kept}, which is a path of one machine")


@pytest.mark.parametrize("page", pages())
def test_python_parses_and_its_imports_are_there(page: str) -> None:
    for place, code in blocks(page, "python", "py"):
        for node in ast.walk(ast.parse(code, place)):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom) and node.module:
                names = [f"{node.module}.{alias.name}" for alias in node.names]
            for name in names:
                if name.partition(".")[0] in OURS:
                    assert exists(name), f"{place}: there is no {name}"


def exists(dotted: str) -> bool:
    """Whether a module has a name, or is there itself."""
    found: Any = importlib.import_module(dotted.partition(".")[0])
    for i, part in enumerate(dotted.split(".")[1:], 2):
        if not hasattr(found, part):
            try:
                importlib.import_module(".".join(dotted.split(".")[:i]))
            except ModuleNotFoundError:
                return False
        found = getattr(found, part)
    return True


@pytest.mark.parametrize("page", pages())
def test_data_in_other_languages_parses(page: str) -> None:
    for _, text in blocks(page, "yaml"):
        yaml.safe_load(text)
    for _, text in blocks(page, "toml"):
        tomllib.loads(text)
    for _, text in blocks(page, "json"):
        for line in text.splitlines():
            json.loads(line)


@pytest.mark.parametrize("page", pages())
def test_commands_name_what_there_is(page: str) -> None:
    """Modules that are run, commands of `genllava`, and extras that are installed."""
    extras = tomllib.loads(read("pyproject.toml"))["project"]["optional-dependencies"]
    for place, code in blocks(page, "sh", "console"):
        for module in re.findall(r"\bpython -m ([\w.]+)", code):
            assert importlib.util.find_spec(module) is not None, f"{place}: python -m {module}"
        for command in re.findall(r"^(?:\$ )?genllava (\w+)", code, re.M):
            assert command in COMMANDS, f"{place}: genllava {command}"
    for named in re.findall(r"(?:genllava|\.)\[([\w,]+)\]", read(page)):
        assert set(named.split(",")) <= set(extras), f"{page}: an extra of [{named}]"


def test_no_page_repeats_another() -> None:
    seen: dict[tuple[str, ...], str] = {}
    for page in pages():
        words = re.findall(r"[\w./\[\]-]*\w[\w./\[\]-]*", read(page))
        for run in {tuple(words[i : i + REPEATED]) for i in range(len(words) - REPEATED + 1)}:
            other = seen.setdefault(run, page)
            assert other == page, f"{page} and {other} both say: {' '.join(run)}"


def test_every_page_has_its_place_in_the_navigation() -> None:
    def files(entry: Any) -> list[str]:
        if isinstance(entry, str):
            return [entry]
        return [file for each in (entry.values() if isinstance(entry, dict) else entry) for file in files(each)]

    named = files(yaml.safe_load(read("mkdocs.yml"))["nav"])
    assert len(named) == len(set(named))
    there = {path.relative_to(DOCS).as_posix() for path in DOCS.rglob("*.md")}
    assert there <= set(named), "give these a place in `nav` of mkdocs.yml"
    outside = {LINKS.site_path(page) for page in pages() if not page.startswith("docs/")}
    assert set(named) - there <= outside


@pytest.mark.parametrize("package", REFERENCE)
def test_the_reference_has_the_public_names(package: str) -> None:
    named = re.findall(r"^::: ([\w.]+)$", read(f"docs/reference/{package}.md"), re.M)
    assert len(named) == len(set(named))
    assert [name for name in named if not exists(name)] == []
    public = getattr(importlib.import_module(package), "__all__", ())
    assert {f"{package}.{name}" for name in public if not name.startswith("_")} <= set(named)


def test_flowcharts_are_drawn_whole() -> None:
    flowchart = of_the_site("flowchart")
    (chart,) = flowchart.FLOWCHART.findall(read("docs/agent.md"))
    edges = flowchart.edges_of(chart)
    places, width = flowchart.places_of(edges)
    assert set(places) == {node for edge in edges for node in (edge.source, edge.target)}
    assert all(60 < place.x < width - 60 for place in places.values())
    across = sorted((place.row, place.x) for place in places.values())
    assert all(b[1] - a[1] > 140 for a, b in itertools.pairwise(across) if a[0] == b[0])
    drawn = flowchart.drawn(chart)
    assert drawn.count("marker-end") == len(edges)
    assert "\n\n" not in drawn, "Markdown would go on in the middle of it"
    with pytest.raises(ValueError, match="not understood: a --- b"):
        flowchart.edges_of("    a --> b\n    a --- b\n")


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    for needed in ("mkdocs", "material", "mkdocstrings_handlers.python"):
        pytest.importorskip(needed)
    folder = tmp_path_factory.mktemp("site")
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(folder)],
        cwd=ROOT, capture_output=True, text=True, check=False, env={**os.environ, "NO_MKDOCS_2_WARNING": "1"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return folder


def rendered(site: Path, page: str) -> str:
    """The page as the site shows it."""
    path = Path(LINKS.site_path(page))
    folder = path.parent if path.stem in ("index", "README") else path.with_suffix("")
    return (site / folder / "index.html").read_text(encoding="utf-8")


@pytest.mark.slow
def test_the_site_loads_nothing_from_elsewhere(site: Path) -> None:
    kinds = r'script|img|iframe|link rel="(?:stylesheet|preconnect|preload|icon)"'
    loaded = rf'<(?:{kinds})[^>]*(?:src|href)="(?:https?:)?//[^"]+'
    for file in site.rglob("*.html"):
        text = file.read_text(encoding="utf-8")
        assert re.findall(loaded, text) == [], file
        assert 'class="mermaid"' not in text, "Material loads Mermaid from elsewhere"
    for file in site.rglob("*.css"):
        assert re.findall(r"(?:url\(|@import )[\"']?(?:https?:)?//[^)]*", file.read_text(encoding="utf-8")) == [], file
    assert not (site / "_site").exists()


@pytest.mark.slow
def test_the_site_shows_pages_as_they_are_written(site: Path) -> None:
    """As many headings, tables and list items: where the site's Markdown differs from others', something is lost."""
    for page in [page for page in pages() if "/reference/" not in page]:
        text = LINKS.without_code(read(page))
        article = re.search(r"<article.*?</article>", rendered(site, page), re.S)
        assert article is not None, page
        assert len(re.findall(r"^#+ ", text, re.M)) == len(re.findall(r"<h[1-6] ", article[0])), page
        assert len(re.findall(r"^\|[ :|-]*--[ :|-]*$", text, re.M)) == article[0].count("<table>"), page
        assert len(re.findall(r"^ *(?:[-*+]|\d+\.) ", text, re.M)) == len(re.findall(r"<li[ >]", article[0])), page


@pytest.mark.slow
def test_the_site_has_the_reference(site: Path) -> None:
    for package in REFERENCE:
        html = rendered(site, f"docs/reference/{package}.md")
        for name in re.findall(r"^::: ([\w.]+)$", read(f"docs/reference/{package}.md"), re.M):
            assert name.endswith((".errors", ".events")) or f'id="{name}"' in html, name
    assert 'id="genllava.GenLlavaPipeline.assemble"' in rendered(site, "docs/reference/genllava.md")
