"""From what a caller chose to what the turn may use."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from core.access import Guarded, Principal, usable
from core.choices import Choices, checked
from core.settings.book import Editions
from core.settings.problems import nearest, printable
from nodes.config.errors import UnknownModel, UnknownSource, UnknownTool
from nodes.config.models import TurnConfig
from nodes.config.ports import ModelCatalogue, ServerCatalogue, SourceCatalogue
from nodes.config.settings import LimitSettings

_LISTED = 20


class ConfigLookup:
    """Resolves choices against what there is and what the principal may use.

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

    def resolve(self, principal: Principal, choices: Choices) -> TurnConfig:
        """What a turn of `principal` with these choices runs with.

        Raises:
            UnknownModel: No such model for this principal.
            UnknownSource: No such source.
            UnknownTool: No such server or tool.
            InvalidInput: A choice is of a wrong kind, or out of its bounds.
        """
        limit = self._editions.now().book[LimitSettings].steps
        wishes = checked(choices, max_steps=limit).by_name()
        servers, tools = self._tools(principal, choices.tools)
        wishes |= {
            "model": self._model(principal, choices.model),
            "sources": self._sources_of(principal, choices.sources),
            "tools": tools,
            "max_steps": limit if choices.max_steps is None else choices.max_steps,
        }
        return TurnConfig(servers=servers, **wishes)

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

    def _sources_of(self, principal: Principal, wish: Sequence[str] | None) -> tuple[str, ...]:
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


def _unknown(kind: str, name: str, known: Iterable[str]) -> str:
    names = list(known)
    near = nearest(name, names)
    hint = f"; did you mean '{near}'?" if near else ""
    more = f" and {len(names) - _LISTED} more" if len(names) > _LISTED else ""
    listed = f"you may use: {', '.join(names[:_LISTED])}{more}" if names else "there is none that you may use"
    return f"no {kind} '{printable(name)}'{hint}{';' if not hint else ''} {listed}"
