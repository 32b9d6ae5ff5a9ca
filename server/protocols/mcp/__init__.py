"""The Model Context Protocol: the agent, its sources, files and threads for programs that use tools.

Two dialects on one address, told apart by each request: that of 2025-11-25 and before, with a handshake,
and that of 2026-07-28, without. No session is kept: what one dialect has to remember between requests
is sealed into what the client sends back, so that any process answers, also after a restart.

`routes` is HTTP, `lines` stdio; both put requests to `methods`. Protocol: https://modelcontextprotocol.io
"""
