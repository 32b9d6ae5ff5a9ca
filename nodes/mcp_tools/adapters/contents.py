"""From the SDK's result model to ours."""

from __future__ import annotations

from mcp import types

from nodes.mcp_tools.models import CallResult, Content


def call_result(result: types.CallToolResult) -> CallResult:
    parts = tuple(_content(part) for part in result.content)
    return CallResult(parts, result.structuredContent, result.isError)


def _content(part: types.ContentBlock) -> Content:
    match part:
        case types.TextContent():
            return Content("text", text=part.text)
        case types.ImageContent():
            return Content("image", b64=part.data, media_type=part.mimeType)
        case types.AudioContent():
            return Content("audio", b64=part.data, media_type=part.mimeType)
        case types.ResourceLink():
            return Content("link", part.description or "", "", part.mimeType or "", str(part.uri), part.name)
        case types.EmbeddedResource():
            return _resource(part.resource)


def _resource(resource: types.TextResourceContents | types.BlobResourceContents) -> Content:
    uri, media_type = str(resource.uri), resource.mimeType or ""
    if isinstance(resource, types.TextResourceContents):
        return Content("resource", text=resource.text, media_type=media_type or "text/plain", uri=uri)
    return Content("resource", b64=resource.blob, media_type=media_type, uri=uri)
