"""Plugins: folders with a `plugin.json` that bring a server each."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path
from typing import Any

from pydantic import Field, SecretStr, ValidationInfo, model_validator

from core.settings import Book, ConfigFile, Context, Finding, Named, Places, Section, load_file, nearest
from nodes.mcp_tools.allowed_plugins import AllowedPlugins, PluginPermission, code_of
from nodes.mcp_tools.dialects import Remark
from nodes.mcp_tools.settings import McpFile, McpSettings, ServerEntry

MANIFEST = "plugin.json"
WATCHED_FILES = (
    200  # of a plugin, for changes that take an operator's permission back; the rest at the next reading
)
BUNDLED = Path(__file__).resolve().parents[2] / "tools"  # beside the packages, in a checkout and in a wheel
HOST = BUNDLED / "host.py"


def bundled_name(entry: ServerEntry) -> str:
    """The folder of the bundled server that an entry runs just as it ships; empty for any other."""
    if entry.env is not None or entry.command != sys.executable or len(entry.args) != 1:
        return ""
    script = Path(entry.args[0])
    ours = script.name == "server.py" and script.parent.parent == BUNDLED
    return script.parent.name if ours and entry.cwd == script.parent else ""


class PluginManifest(ServerEntry):
    """plugin.json: an entry of mcp.json with a name and a version. `server` is a Python file to run."""

    name: str = Field("", max_length=64, pattern=r"^([A-Za-z0-9][A-Za-z0-9_.-]*)?$")
    version: str = "0"
    server: str | None = None

    @model_validator(mode="before")
    @classmethod
    def _server_as_command(cls, data: Any, info: ValidationInfo) -> Any:
        base = (info.context or {}).get("base")
        if not isinstance(data, Mapping) or base is None:
            return data
        data = {"cwd": ".", **data}
        if data.get("server") is None:
            return data
        if "command" in data or "url" in data:
            raise ValueError("give one of server, command and url")
        script = Path(base, str(data["server"]))
        if not script.is_file():
            raise ValueError(f"there is no file '{data['server']}' in the plugin's folder")
        return {**data, "command": sys.executable, "args": [str(script), *data.get("args", [])]}

    def entry(self) -> ServerEntry:
        """The part that mcp.json could have said."""
        fields = {name: getattr(self, name) for name in ServerEntry.model_fields}
        return ServerEntry.model_construct(**fields)


@dataclass(frozen=True, slots=True)
class Plugin:
    """A plugin folder that was found; `problem` says why it cannot be used.

    `waiting` is True where the only thing that it lacks is an operator's permission.
    """

    name: str
    origin: str
    version: str = ""
    entry: ServerEntry = field(default_factory=ServerEntry)
    folder: Path | None = None
    problem: str = ""
    waiting: bool = False


@dataclass(frozen=True, slots=True)
class Inventory:
    """Every server there is, and the plugins that some of them came from.

    Args:
        unusable: Servers that are left out, each with the reason.
        remarks: What was passed over in mcp.json, by server.
    """

    servers: Mapping[str, ServerEntry]
    plugins: tuple[Plugin, ...] = ()
    unusable: Mapping[str, str] = field(default_factory=dict)
    remarks: Mapping[str, tuple[Remark, ...]] = field(default_factory=dict)

    def entries(self) -> Mapping[str, ServerEntry]:
        return self.servers

    def default(self) -> str:
        """No server is the default one."""
        return ""

    def names(self) -> Iterable[str]:
        """Those that cannot be used too: somebody may have switched them off for that."""
        return {*self.servers, *self.unusable, *(plugin.name for plugin in self.plugins)}


def take_inventory(book: Book) -> Inventory:
    """Plugins, with what mcp.json says on top. A server that cannot be used costs itself alone."""
    settings, file = book[McpSettings], book[McpFile]
    plugins = tuple(find_plugins(settings, book))
    servers = {plugin.name: plugin.entry for plugin in plugins if not plugin.problem}
    unusable = dict(file.unusable)
    for name, entry in file.servers.items():
        if entry.enabled and not entry.complete and name not in servers:
            unusable[name] = _nowhere(name, plugins)
        else:
            servers[name] = _laid_over(name, entry, servers)
    for name in unusable:
        servers.pop(name, None)  # what it says of a plugin was not understood
    for name in servers.keys() & set(settings.disabled):
        servers[name] = servers[name].model_copy(update={"enabled": False})
    if PluginPermission.of(book).closed:
        named = [plugin.name for plugin in plugins if plugin.origin != "bundled"]
        fenced = {name: _compiled_elsewhere(servers[name], book) for name in named if name in servers}
        servers.update(fenced)
    return Inventory(servers, plugins, unusable, file.remarks)


def _compiled_elsewhere(entry: ServerEntry, book: Book) -> ServerEntry:
    """Compiled files in a plugin's folder are no part of what was allowed: its Python shall not read them."""
    prefix = SecretStr(str((book.context.places.home / "state" / "pycache").absolute()))
    return entry.model_copy(update={"env": {**(entry.env or {}), "PYTHONPYCACHEPREFIX": prefix}})


def _laid_over(name: str, entry: ServerEntry, plugins: Mapping[str, ServerEntry]) -> ServerEntry:
    below = plugins.get(name)
    if entry.complete or below is None:
        return entry
    if not entry.enabled:
        return below.model_copy(update={"enabled": False})
    changes = {key: getattr(entry, key) for key in entry.model_fields_set}
    return below.model_copy(update=changes)


def _nowhere(name: str, plugins: Sequence[Plugin]) -> str:
    same = next((plugin.problem for plugin in plugins if plugin.name == name and plugin.problem), "")
    if same:
        return f"has neither command nor url, and the plugin of this name cannot be used: {same}"
    names = [plugin.name for plugin in plugins]
    near = nearest(name, names)
    remedy = f"did you mean '{near}'?" if near else f"plugins: {', '.join(names) or 'none'}"
    return f"has neither command nor url, and no plugin has this name; {remedy}"


def manifests(book: Book) -> Iterable[Path]:
    """Where manifests stand, and where they would; what allows plugins, and what was allowed."""
    gate = PluginPermission.of(book)
    if gate.closed:
        yield AllowedPlugins(book.context.places).path
    for origin, root in _roots(book[McpSettings], book.context.places):
        yield root / MANIFEST
        if root.is_dir():
            folders = sorted(folder for folder in root.iterdir() if folder.is_dir())
            yield from (folder / MANIFEST for folder in folders)
            if gate.closed and origin != "bundled":
                for folder in folders:
                    yield from islice(sorted(code_of(folder)), WATCHED_FILES)


def missing_commands(book: Book) -> Iterator[Finding]:
    """Servers and plugins that cannot be used or started here, and what of mcp.json was not understood."""
    yield from _of_servers(book[McpFile])
    if McpSettings in book.values:
        for name, reason in take_inventory(book).unusable.items():
            yield book[McpFile].place(name), f"the server is left out: {reason}", ""
        for plugin in find_plugins(book[McpSettings], book):
            yield from _of_plugin(plugin)


def _of_servers(file: McpFile) -> Iterator[Finding]:
    for name, entry in file.servers.items():
        key, message = _not_runnable(entry)
        if key:
            yield file.place(name, key), message, 'put it there, or set "enabled": false'
    for name, remarks in file.remarks.items():
        for remark in remarks:
            if remark.mistake:
                yield file.place(name, remark.key), remark.message, "take it out, or put it right"


def _of_plugin(plugin: Plugin) -> Iterator[Finding]:
    if plugin.waiting:
        return  # as it should: nothing of the configuration is wrong
    if plugin.problem:
        remedy = "put it right, or remove it"
        yield ("plugins", plugin.name), f"the plugin is broken: {plugin.problem}", remedy
        return
    key, message = _not_runnable(plugin.entry)
    if key:
        remedy = "put it there, or add the plugin to mcp.disabled"
        yield ("plugins", plugin.name), f"the plugin cannot be started: {message}", remedy


def _not_runnable(entry: ServerEntry) -> tuple[str, str]:
    """The key that keeps the server from being started here, and why; empty where nothing does.

    It is looked for as the server will be: a path from its folder, a name on its own PATH.
    """
    if not entry.enabled or not entry.command:
        return "", ""
    if entry.cwd is not None and not entry.cwd.is_dir():
        return "cwd", "the folder is not there"
    if os.sep in entry.command:
        path = Path(entry.cwd or Path.cwd(), entry.command)
        found = shutil.which(path) is not None
        return ("", "") if found else ("command", f"'{entry.command}' is no file that can be run")
    own = (entry.env or {}).get("PATH")
    if shutil.which(entry.command, path=own.get_secret_value() if own else None):
        return "", ""
    return "command", f"the command '{entry.command}' is not on the PATH"


def find_plugins(settings: McpSettings, book: Book) -> Iterable[Plugin]:
    """Every folder with a manifest: bundled ones, those in the home folder, then further folders."""
    seen: set[str] = set()
    gate = PluginPermission.of(book)
    for origin, root in _roots(settings, book.context.places):
        for folder in _folders(root):
            plugin = read_plugin(folder, origin, book.context)
            if plugin.name in seen:
                plugin = replace(plugin, problem=f"another plugin is called '{plugin.name}' already")
            elif not plugin.problem and not _named_itself(origin, root, folder):
                why = gate.holds(plugin.name, folder)
                plugin = replace(plugin, problem=why, waiting=bool(why))
            seen.add(plugin.name)
            yield plugin


def _named_itself(origin: str, root: Path, folder: Path) -> bool:
    """What ships with us, and a plugin whose own folder the settings name, an operator has chosen already."""
    return origin == "bundled" or (origin == "settings" and folder == root)


def _roots(settings: McpSettings, places: Places) -> Iterable[tuple[str, Path]]:
    if settings.bundled:
        yield "bundled", BUNDLED
    yield "home", places.home / "plugins"
    for folder in settings.plugins:
        yield "settings", Path(places.config_dir, folder)


def _folders(root: Path) -> list[Path]:
    if (root / MANIFEST).is_file():
        return [root]
    return sorted(path.parent for path in root.glob(f"*/{MANIFEST}"))


def read_plugin(folder: Path, origin: str, context: Context) -> Plugin:
    """The plugin in `folder`; a broken manifest gives a plugin with a problem."""
    beside = replace(context, places=Places(folder, context.places.home))
    value, problems, _ = load_file(ConfigFile("plugin", (MANIFEST,), PluginManifest), beside)
    if problems or not isinstance(value, PluginManifest):
        return Plugin(folder.name, origin, folder=folder, problem="; ".join(map(str, problems)))
    name = value.name or folder.name
    if not value.complete:
        why = f'{MANIFEST}: give one of server, command and url, such as "server": "server.py"'
        return Plugin(name, origin, value.version, folder=folder, problem=why)
    return Plugin(name, origin, value.version, value.entry(), folder)


def _missing_folders(book: Book) -> Iterator[Finding]:
    for place, folder in enumerate(book[McpSettings].plugins):
        if not Path(book.context.places.config_dir, folder).is_dir():
            yield ("plugins", place), f"there is no folder '{folder}'", "make it, or take it out"


def _switched_off(settings: McpSettings) -> Iterator[Named]:
    for place, name in enumerate(settings.disabled):
        yield ("disabled", place), "servers", name


_LIVE = ("bundled", "disabled", "plugins")
SECTIONS = (Section("mcp", McpSettings, live=_LIVE, review=_missing_folders, names=_switched_off),)
FILES = (
    ConfigFile(
        "servers",
        ("mcp.json",),
        McpFile,
        review=missing_commands,
        listing=take_inventory,
        live=True,
        beside=manifests,
        own_variables=True,
    ),
)
