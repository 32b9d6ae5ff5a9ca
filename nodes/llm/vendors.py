"""A LangChain chat model as the `provider` of an entry: its class is found, its arguments are named."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import TYPE_CHECKING, Any

from core.choices import SAMPLED
from core.settings import nearest

if TYPE_CHECKING:
    from langchain_core.language_models import BaseChatModel

# What a key of an entry is called by the classes in use; the first that a class knows counts.
_ARGUMENTS: Mapping[str, tuple[str, ...]] = {
    "model_name": ("model", "model_name", "model_id"),
    "model_url": ("base_url", "api_base", "endpoint", "azure_endpoint", "endpoint_url"),
    "api_key": ("api_key", "api_token", "token"),
    "max_tokens": ("max_tokens", "max_output_tokens", "num_predict"),
    **{name: (name,) for name in SAMPLED},
}
_SHARED = ("langchain_core", "langchain_community")


def checked(provider: object) -> object:
    """The provider, if it is a chat model, or `package:Class` names one.

    Raises:
        ValueError: It is none; says what to install or to write.
    """
    if isinstance(provider, str):
        if provider:
            class_of(provider)
    elif not isinstance(provider, _base()):
        # pydantic turns a ValueError into a finding, and lets a TypeError through.
        if isinstance(provider, type) and issubclass(provider, _base()):
            path = f"{provider.__module__}:{provider.__qualname__}"
            raise ValueError(f"is a class; give an object of it, or its name: '{path}'")  # noqa: TRY004
        kind = type(provider).__name__
        raise ValueError(f"{kind} is no chat model of LangChain (a BaseChatModel)")  # noqa: TRY004
    return provider


def class_of(path: str) -> type[BaseChatModel]:
    """The class that `package:Class` names.

    Raises:
        ValueError: There is none, or it is no chat model.
    """
    package, mark, name = path.partition(":")
    if not (mark and name.isidentifier() and all(part.isidentifier() for part in package.split("."))):
        raise ValueError("must be written package:Class, such as langchain_anthropic:ChatAnthropic")
    found = getattr(_imported(package), name, None)
    if isinstance(found, type) and issubclass(found, _base()):
        return found
    said = "is no chat model of LangChain (a BaseChatModel)" if found else "does not exist"
    raise ValueError(f"'{name}' of the package '{package}' {said}{_hint(package, name)}")


def label_of(provider: object) -> str:
    """The vendor for metrics and spans: anthropic for langchain_anthropic."""
    module = provider if isinstance(provider, str) else type(provider).__module__
    package = module.partition(":")[0].partition(".")[0]
    return package if package in _SHARED else package.removeprefix("langchain_")


def path_of(provider: object) -> str:
    """`package:Class`, also of an object."""
    if isinstance(provider, str):
        return provider
    return f"{type(provider).__module__}:{type(provider).__qualname__}"


def served_by(provider: object, parameters: object = None) -> str:
    """What a provider calls the model that it asks; the name of its class where nothing says."""
    said = parameters if isinstance(parameters, Mapping) else {}
    names = [said.get(one) or getattr(provider, one, None) for one in _ARGUMENTS["model_name"]]
    known = next((name for name in names if isinstance(name, str) and name), "")
    return known or path_of(provider).rpartition(":")[2] or "?"


def arguments(path: str, given: Mapping[str, Any], parameters: Mapping[str, Any]) -> dict[str, Any]:
    """What the class is made with.

    Args:
        given: What the entry says, by its keys; what is not given is the class's own.
        parameters: Further arguments, as the class calls them.

    Raises:
        ValueError: The class knows none of that kind.
    """
    known = {
        name: None
        for field, info in class_of(path).model_fields.items()
        for name in (info.alias or field, field)
    }
    found: dict[str, Any] = {}
    for name in parameters:
        if name not in known:
            near = nearest(name, known)
            raise ValueError(f"{path} takes no '{name}'" + (f"; did you mean '{near}'?" if near else ""))
    for key, value in given.items():
        name = next((one for one in _ARGUMENTS[key] if one in known), "")
        if not name:
            raise ValueError(f"{path} takes no {key}; write it under `parameters`, as the class calls it")
        found[name] = value
    # One owner per call: tries are ours.
    tries = {"max_retries": 0} if "max_retries" in known else {}
    return {**tries, **found, **parameters}


def _imported(package: str) -> Any:
    try:
        return import_module(package)
    except ModuleNotFoundError as error:
        missing, top = error.name or package, package.partition(".")[0]
        if missing == top:
            name = missing.replace("_", "-")
            raise ValueError(
                f"there is no package '{missing}'; install it: pip install {name}; "
                "a file of your own: put its folder into PYTHONPATH"
            ) from None
        raise ValueError(f"'{package}' needs '{missing}', which is not there") from None
    except ImportError as error:
        raise ValueError(f"the package '{package}' cannot be imported ({type(error).__name__})") from error


def _hint(package: str, name: str) -> str:
    module = _imported(package)
    # Some packages load their classes when they are asked for, and list them only here.
    listed = [one for one in getattr(module, "__all__", dir(module)) if "Chat" in one]
    near = nearest(name, listed)
    return f"; did you mean '{near}'?" if near and near != name else ""


def _base() -> type[BaseChatModel]:
    from langchain_core.language_models import BaseChatModel  # noqa: PLC0415 - only where it is used

    return BaseChatModel
