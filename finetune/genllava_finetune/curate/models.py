"""A chat model by its name, through LangChain."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from genllava.errors import InvalidRequest

if TYPE_CHECKING:
    from langchain_core.embeddings import Embeddings
    from langchain_core.language_models import BaseChatModel


@dataclass(frozen=True, slots=True)
class ModelChoice:
    """Which model is asked. API keys are no part of it: the provider's package reads them from the environment.

    Attributes:
        name: provider and model, such as "openai:gpt-5" or "ollama:qwen3".
        base_url: address of a server that speaks the provider's protocol; None: the provider's own.
        params: further arguments of the model's class, such as `temperature`.
    """

    name: str
    base_url: str | None = None
    params: Mapping[str, Any] = field(default_factory=dict)


def chat_model(choice: ModelChoice, seed: int) -> BaseChatModel:
    """The model; its own repetition of failed requests is switched off, since they are counted and repeated here.

    Raises:
        InvalidRequest: a package or an API key is missing, or no provider is called so.
    """
    if find_spec("langchain") is None:
        raise InvalidRequest("a model by name needs langchain: pip install 'genllava[langchain]'")
    from langchain.chat_models import init_chat_model

    given = dict(choice.params) | ({} if choice.base_url is None else {"base_url": choice.base_url})
    try:
        model = init_chat_model(choice.name, **given)
        fields = type(model).model_fields
        extra = {name: value for name, value in (("max_retries", 0), ("seed", seed)) if name in fields}
        return init_chat_model(choice.name, **(extra | given))
    except ImportError as error:
        raise InvalidRequest(f"the provider's package for {choice.name} is missing: {error}") from None
    except Exception as error:  # each provider's package has exceptions of its own for what is missing
        raise InvalidRequest(f"cannot use the model {choice.name}: {_first_line(error)}") from None


def embeddings_by_name(name: str) -> Embeddings:
    """An embedding model, such as "openai:text-embedding-3-small".

    Raises:
        InvalidRequest: a package or an API key is missing, or no provider is called so.
    """
    if find_spec("langchain") is None:
        raise InvalidRequest("an embedding model by name needs langchain: pip install 'genllava[langchain]'")
    from langchain.embeddings import init_embeddings

    try:
        return init_embeddings(name)
    except Exception as error:
        raise InvalidRequest(f"cannot use the embeddings {name}: {_first_line(error)}") from None


def model_name(model: BaseChatModel) -> str:
    """Provider and name of a chat model, as LangChain reports them."""
    known = model._get_ls_params()
    return f"{known.get('ls_provider', 'unknown')}:{known.get('ls_model_name', type(model).__name__)}"


def _first_line(error: Exception) -> str:
    return str(error).strip().partition("\n")[0][:300]
