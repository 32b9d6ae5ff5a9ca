"""What the keys of other programs mean here. Data only; docs/decisions/0026 says where it was read."""

from __future__ import annotations

# Another name of a key of ours.
RENAMED = {
    "serverUrl": "url",  # Windsurf
    "httpUrl": "url",  # Gemini CLI
    "environment": "env",  # opencode
    "workingDirectory": "cwd",
    "http_headers": "headers",  # Codex
    "transportType": "transport",  # Cline, once
    "type": "transport",
    "title": "short_description",  # LibreChat
    "tools": "include_tools",  # GitHub Copilot
    "includeTools": "include_tools",  # Gemini CLI
    "enabled_tools": "include_tools",  # Codex
    "excludeTools": "exclude_tools",  # Gemini CLI
    "disabledTools": "exclude_tools",  # Roo Code, Windsurf
    "disabled_tools": "exclude_tools",  # Codex
}

TRANSPORTS = {
    "stdio": "stdio",
    "local": "stdio",  # opencode
    "http": "http",
    "remote": "http",  # opencode
    "streamablehttp": "http",
    "sse": "sse",
}
"""By the name in lower case without `-` and `_`."""

APPROVAL = "who approves a tool is the operator's word here: see require_approval"
_LOGIN = "a login by OAuth is made with auth_type and oauth_config"
_SHOWN = "it only says how another program shows the server"
_PER_USER = "values per user are not asked for here"

IGNORED = {
    "alwaysAllow": APPROVAL,
    "autoApprove": APPROVAL,
    "trust": APPROVAL,
    "auth": _LOGIN,
    "oauth": _LOGIN,
    "oauth_headers": _LOGIN,
    "requiresOAuth": _LOGIN,
    "authProviderType": _LOGIN,
    "apiKey": "a key is sent with headers, or with auth_type and auth_token",
    "customUserVars": _PER_USER,
    "chatMenu": _SHOWN,
    "gallery": _SHOWN,
    "icon": _SHOWN,
    "iconPath": _SHOWN,
    "name": _SHOWN,
    "dev": "a server is started anew when it dies or its entry changes",
    "watchPaths": "a server is started anew when it dies or its entry changes",
    "sandbox": "processes are not fenced in here",
    "sandboxEnabled": "processes are not fenced in here",
    "serverInstructions": "a server's instructions are not given to the model",
    "settings": "settings of a server go into args or env",
    "source": "it says where another program has the server from",
    "sseReadTimeout": "a stream is ended with its call: see timeout_s",
    "startup": "every enabled server is started at once, and no turn waits for one",
    "stderr": "what a server says on stderr goes into its log",
    "version": "a server says its version itself",
    "metadata": "it is a note for another program",
}

# What a switch says of a server that is on.
SWITCHES = {"disabled": False, "enabled": True, "isActive": True}

# Key of ours, and the unit.
DURATIONS = {
    "timeout": ("timeout_s", "ms"),
    "initTimeout": ("init_timeout_s", "ms"),  # LibreChat
    "connectionTimeout": ("init_timeout_s", "ms"),
    "startup_timeout_sec": ("init_timeout_s", "s"),  # Codex
    "tool_timeout_sec": ("timeout_s", "s"),  # Codex
}

# `timeout` is in seconds for some and in milliseconds for others: up to an hour it is seconds beside these.
IN_SECONDS = frozenset({"alwaysAllow", "autoApprove", "disabledTools", "transportType", "watchPaths"})

# By key, the programs whose files have it.
PROGRAMS = {
    "httpUrl": "Gemini CLI",
    "trust": "Gemini CLI",
    "includeTools": "Gemini CLI",
    "excludeTools": "Gemini CLI",
    "serverUrl": "Windsurf",
    "autoApprove": "Cline",
    "transportType": "Cline",
    "alwaysAllow": "Roo Code or Cline",
    "disabledTools": "Roo Code or Windsurf",
    "watchPaths": "Roo Code",
    "initTimeout": "LibreChat",
    "serverInstructions": "LibreChat",
    "chatMenu": "LibreChat",
    "customUserVars": "LibreChat",
    "iconPath": "LibreChat",
    "envFile": "VS Code or Cursor",
}
