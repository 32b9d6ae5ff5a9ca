"""mcp.json as other programs write it, read into entries of ours.

Every server is read by itself: what has no meaning here is a remark at that
server, and one that cannot be used is left out with its reason.
"""

from nodes.mcp_tools.dialects.reading import Remark, ServerReading, ServersRead, read_servers

__all__ = ["Remark", "ServerReading", "ServersRead", "read_servers"]
