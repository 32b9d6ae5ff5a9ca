"""Meanings of keys whose field says nothing itself; they stand in several files and mean the same in each."""

from __future__ import annotations

KEPT = "Kept beside the entry; nothing acts on it in this release."

MEANING = {
    "api_key": "The endpoint's key; write ${VARIABLE}.",
    "api_key_source": "system: the key above. user: a key of each user, not part of this release.",
    "api_version": "Which of the two retrieval interfaces the service has.",
    "args": "Arguments of the command.",
    "auth_header": "The header that carries auth_token with auth_type api_key.",
    "auth_token": "Sent to an http or sse server: as `Authorization: Bearer`, or in auth_header.",
    "auth_type": "How auth_token is sent. oauth logins and keys per user are not part of this release.",
    "author": KEPT,
    "bearer_token": "Sent as `Authorization: Bearer`.",
    "callback_port": KEPT,
    "chunk_tokens": "Size of a chunk of this source; empty: rag.chunk_tokens.",
    "client_name": KEPT,
    "command": "The program of a stdio server; `python` is Waystation's own interpreter.",
    "compliance_level": "Only those who have this level may use it; empty: everyone.",
    "cwd": "Where the command runs, relative to the folder of this file or of the plugin.",
    "default_mode": "What an interface v2 is asked for: raw passages, or an answer of its own.",
    "default_model": "The model that an interface v1 is asked to use.",
    "description": "Shown to people.",
    "discovery_endpoint": "Path of the discovery; empty: that of api_version.",
    "display_name": "Shown to people; empty: the name.",
    "embedder.model": "The name that its endpoint knows.",
    "embedder.timeout_s": "Longest answer, in seconds.",
    "enabled": "false switches the entry off.",
    "env": "Environment of the process, beside a few variables such as PATH and HOME.",
    "extra_headers": "Sent with every request to the endpoint.",
    "groups": "Any of them may use it; empty: everyone.",
    "headers": "Sent with every request to an http or sse server.",
    "help_email": KEPT,
    "log_format": "One JSON object a line, or text for people.",
    "log_level": "What is less important is not logged.",
    "max_result_bytes": "Longest text of a result; empty: mcp.max_result_bytes.",
    "max_tokens": "Longest answer, in tokens; empty: the endpoint's own limit.",
    "model_card": KEPT,
    "name": "The server's name; empty: the folder's.",
    "oauth_config": KEPT,
    "pass_user_as_customer_id": "Send the user's id with each request.",
    "query_endpoint": "Path of the query; empty: that of api_version.",
    "require_approval": "Tools, by their names on the server, that need a person's word; `*` for all.",
    "restart": "Whether a server that dies is started again.",
    "scopes": KEPT,
    "server": "A Python file in the plugin's folder that is the server.",
    "short_description": "Shown to people where there is little room.",
    "strict_role_ordering": "Send messages of user and assistant strictly by turns.",
    "supports_pdf": KEPT,
    "supports_tools": "false: the model is offered no tools.",
    "supports_vision": KEPT,
    "temperature": "Where a turn names none; empty: the endpoint's own.",
    "timeout": "Longest answer, in seconds.",
    "timeout_s": "Longest call, in seconds; empty: mcp.call_timeout_s, or resilience.server.",
    "top_k": "Passages to ask for.",
    "transport": "empty: stdio with a command, http with a url. `type` is its old name.",
    "type": "What kind of source it is; empty: local with a path, mcp with a command.",
    "url": "Address of the service or server.",
    "version": "The plugin's version.",
}


def meaning_of(key: str) -> str:
    """The meaning of a dotted key, by its whole name or its last part."""
    return MEANING.get(key) or MEANING.get(key.rpartition(".")[2], "")
