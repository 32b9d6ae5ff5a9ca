"""Arithmetic as an MCP server; runs as a process of its own."""
