"""Models that come in Python packages of the extra `tools`: their needs, and where their files are."""

from __future__ import annotations

from collections.abc import Iterable
from importlib.util import find_spec
from pathlib import Path
from typing import Final

from genllava_tools.errors import ToolUnavailable
from genllava_tools.tool import Need, package

REMEDY: Final = "pip install 'genllava[tools]'"


def packages(*modules: str) -> tuple[Need, ...]:
    """The needs of a tool that runs a model in one of these packages."""
    return tuple(package(module, REMEDY) for module in modules)


def installed(module: str) -> bool:
    """Whether a package is here; it is not imported for that."""
    return find_spec(module) is not None


def packaged_file(module: str, *patterns: str) -> Path:
    """A file of an installed package, which is not imported for that.

    Args:
        module: the package.
        patterns: where in it the file is; "*" stands for any part of a name.

    Raises:
        ToolUnavailable: the package or the file is not here.
    """
    spec = find_spec(module)
    if spec is None:
        raise ToolUnavailable(f"needs {module}: {REMEDY}")
    for folder in spec.submodule_search_locations or ():
        for pattern in patterns:
            if found := sorted(Path(folder).glob(pattern)):
                return found[0]
    raise ToolUnavailable(
        f"the package {module} has no {patterns[0]} in it: reinstall it with {REMEDY} --force-reinstall"
    )


def total_size(files: Iterable[Path]) -> int:
    """Bytes of files together."""
    return sum(file.stat().st_size for file in files)
