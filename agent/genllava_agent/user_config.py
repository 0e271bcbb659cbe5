"""Which model a command uses: what was typed, and what the user's configuration file says where nothing was.

The file is `config.toml` in the user's configuration folder (Linux: `~/.config/genllava/config.toml`), or what the
environment variable `GENLLAVA_CONFIG` names; empty, it stands for no file. For example:

    model = "Qwen/Qwen3-VL-4B-Instruct"
    decoder = "stabilityai/stable-diffusion-xl-base-1.0"
    dtype = "bfloat16"
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from genllava.errors import CheckpointError, InvalidRequest
from genllava_agent.inputs import DTYPES, check_device, check_model

KEYS: Final = ("model", "decoder", "editor", "dtype", "device")
SHIPPED: Final = "shipped"
"""As `--model`: the model that comes with the package, whatever the configuration file says."""


@dataclass(frozen=True, slots=True)
class ModelChoice:
    """What is loaded, as for `loading.load_pipeline`; `typed` is what of it is from the command line, by name."""

    model: str | None = None
    decoder: str | None = None
    editor: str | None = None
    dtype: str | None = None
    device: str | None = None
    typed: dict[str, str] = field(default_factory=dict)

    @property
    def others(self) -> dict[str, Any]:
        """Those besides `model` and `device` that are not left to the default."""
        named = {"decoder": self.decoder, "editor": self.editor, "dtype": self.dtype}
        return {name: value for name, value in named.items() if value is not None}


def choose(**options: str | None) -> ModelChoice:
    """What the command line (`options`, by the names in `KEYS`) and the configuration file choose together, checked.

    Options that were typed win. A decoder and an editor belong to their model: where a model was typed, those of the
    file are left out.

    Raises:
        InvalidRequest: the file cannot be read or says what it cannot; an unknown device or dtype; a decoder without a
            model.
        CheckpointError: a name that no model can have, or a folder that holds none.
    """
    typed = {name: _checked(name, value) for name, value in options.items() if value is not None}
    path = config_file()
    said = {} if path is None else _read(path)
    if "model" in typed:
        said = {name: value for name, value in said.items() if name in ("dtype", "device")}
    chosen = said | typed
    if chosen.get("model") == SHIPPED:
        del chosen["model"]
    if "model" not in chosen and ("decoder" in chosen or "editor" in chosen):
        raise InvalidRequest(
            "a decoder or an editor needs a --model, the vision-language model that it draws for: the shipped model "
            "has its own"
        )
    return ModelChoice(**chosen, typed=typed)


def config_file() -> Path | None:
    """The configuration file; None where there is none."""
    if named := os.environ.get("GENLLAVA_CONFIG"):
        if not Path(named).is_file():
            raise InvalidRequest(f"GENLLAVA_CONFIG names {named}, and there is no such file")
        return Path(named)
    from platformdirs import user_config_path

    path = user_config_path("genllava", appauthor=False) / "config.toml"
    return path if named is None and path.is_file() else None


def _read(path: Path) -> dict[str, str]:
    """What a configuration file says, by name; `~` in names of folders is this user's home."""
    import tomllib

    try:
        said = tomllib.loads(path.read_text(encoding="utf-8"))
        for name, value in said.items():
            if name not in KEYS:
                raise InvalidRequest(f"unknown key {name!r}: {', '.join(KEYS)}")
            if not isinstance(value, str) or not value.strip():
                raise InvalidRequest(f'{name} must be text in quotation marks, such as {name} = "..."')
        return {name: _checked(name, os.path.expanduser(value)) for name, value in said.items()}
    except OSError as error:
        raise InvalidRequest(f"cannot read {path}: {error.strerror or error}") from None
    except (InvalidRequest, CheckpointError) as error:
        raise InvalidRequest(f"{path}: {error}") from None
    except ValueError as error:
        raise InvalidRequest(f"{path} is no TOML file: {error}") from None


def _checked(name: str, value: str) -> str:
    if name == "dtype" and value not in DTYPES:
        raise InvalidRequest(f"unknown dtype {value!r}: {', '.join(DTYPES)}")
    if name == "device":
        check_device(value)
    elif name != "dtype" and (name, value) != ("model", SHIPPED):
        check_model(value, name)
    return value
