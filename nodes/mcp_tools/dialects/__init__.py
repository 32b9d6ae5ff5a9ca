"""mcp.json as other programs write it, read into entries of ours.

Every server is read by itself: what has no meaning here is a remark at that
server, and one that cannot be used is left out with its reason.
"""

from nodes.mcp_tools.dialects.reading import Reading, Remark, ServerReading, read_servers

__all__ = ["Reading", "Remark", "ServerReading", "read_servers"]
