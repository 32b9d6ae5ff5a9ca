"""From what a caller wishes to what the turn may use."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import get_args

from core.access import Guarded, Principal, usable
from core.context import Approval
from core.editions import Editions
from core.errors import InvalidInput
from core.settings.problems import nearest, printable
from nodes.config.errors import UnknownModel, UnknownSource, UnknownTool
from nodes.config.models import TurnConfig, Wishes
from nodes.config.ports import ModelCatalogue, ServerCatalogue, SourceCatalogue
from nodes.config.settings import LimitSettings

_LISTED = 20
MAX_TEMPERATURE = 2.0


class ConfigLookup:
    """Resolves wishes against what there is and what the principal may use.

    What a principal may not use is reported exactly like what does not exist.

    Args:
        models: The models and their default.
        sources: Where passages come from.
        servers: Tool servers and the tools known now.
        editions: The limits of now: model calls in a turn, at most and by default.
    """

    def __init__(
        self,
        models: ModelCatalogue,
        sources: SourceCatalogue,
        servers: ServerCatalogue,
        *,
        editions: Editions,
    ) -> None:
        self._models = models
        self._sources = sources
        self._servers = servers
        self._editions = editions

    def resolve(self, principal: Principal, wishes: Wishes) -> TurnConfig:
        """What a turn of `principal` with these wishes runs with.

        Raises:
            UnknownModel: No such model for this principal.
            UnknownSource: No such source.
            UnknownTool: No such server or tool.
            InvalidInput: A number or the approval mode is out of bounds.
        """
        servers, tools = self._tools(principal, wishes.tools)
        return TurnConfig(
            model=self._model(principal, wishes.model),
            sources=self._chosen_sources(principal, wishes.sources),
            servers=servers,
            tools=tools,
            temperature=_temperature(wishes.temperature),
            max_steps=self._steps(wishes.max_steps),
            approval=_approval(wishes.approval),
        )

    def tool_names(self, config: TurnConfig) -> list[str]:
        """Full names of the tools that the turn may call, as far as they are known now."""
        if config.tools is not None:
            return list(config.tools)
        return [name for server in config.servers for name in self._servers.tool_names(server)]

    def _model(self, principal: Principal, wish: str) -> str:
        mine = usable(principal, self._models.entries())
        name = wish or self._models.default()
        if name in mine:
            return name
        if not wish and mine:
            return next(iter(mine))  # the default is for others; theirs is the first they may use
        if not wish:
            raise UnknownModel("there is no model that you may use; ask whoever runs this service")
        raise UnknownModel(_unknown("model", wish, mine))

    def _chosen_sources(self, principal: Principal, wish: Sequence[str] | None) -> tuple[str, ...]:
        mine = usable(principal, self._sources.entries())
        if wish is None:
            return tuple(mine)
        for name in wish:
            if name not in mine:
                raise UnknownSource(_unknown("source", name, mine))
        return tuple(dict.fromkeys(wish))

    def _tools(
        self, principal: Principal, wish: Sequence[str] | None
    ) -> tuple[tuple[str, ...], tuple[str, ...] | None]:
        mine = usable(principal, self._servers.entries())
        if wish is None:
            return tuple(mine), None
        owners = {tool: server for server in mine for tool in self._servers.tool_names(server)}
        for name in wish:
            if name not in mine and name not in owners:
                raise UnknownTool(_unknown("server or tool", name, [*mine, *owners]))
        servers = tuple(dict.fromkeys(name if name in mine else owners[name] for name in wish))
        if wish and all(name in mine for name in wish):
            return servers, None
        return servers, self._single_tools(wish, mine)

    def _single_tools(self, wish: Iterable[str], mine: Mapping[str, Guarded]) -> tuple[str, ...]:
        """Full names, a server among them standing for all of its tools."""
        found = [
            tool for name in wish for tool in (self._servers.tool_names(name) if name in mine else (name,))
        ]
        return tuple(dict.fromkeys(found))

    def _steps(self, wish: int | None) -> int:
        limit = self._editions.now().book[LimitSettings].steps
        if wish is None:
            return limit
        if isinstance(wish, bool) or not 1 <= wish <= limit:
            raise InvalidInput(f"max_steps must be 1 to {limit}, not {wish}")
        return wish


def _temperature(wish: float | None) -> float | None:
    if wish is not None and not 0 <= wish <= MAX_TEMPERATURE:  # also refuses NaN
        raise InvalidInput(f"temperature must be 0 to {MAX_TEMPERATURE:g}, not {wish}")
    return wish


def _approval(wish: Approval) -> Approval:
    if wish not in get_args(Approval):
        known = ", ".join(get_args(Approval))
        raise InvalidInput(f"approval must be one of {known}, not '{printable(wish)}'")
    return wish


def _unknown(kind: str, name: str, known: Iterable[str]) -> str:
    names = list(known)
    near = nearest(name, names)
    hint = f"; did you mean '{near}'?" if near else ""
    more = f" and {len(names) - _LISTED} more" if len(names) > _LISTED else ""
    listed = f"you may use: {', '.join(names[:_LISTED])}{more}" if names else "there is none that you may use"
    return f"no {kind} '{printable(name)}'{hint}{';' if not hint else ''} {listed}"
