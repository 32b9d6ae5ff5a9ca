"""The content of a file as an answer: whole, a range of it, or only that it is known (RFC 9110)."""

from __future__ import annotations

from fastapi import Request, Response
from starlette.responses import StreamingResponse

from core.access import Principal
from nodes.file_storage import FileInfo, FileManager
from nodes.file_storage.delivery import RangeNotSatisfiable, download_headers, is_known, parse_range
from server.errors import problem_response


def download(request: Request, files: FileManager, owner: Principal, info: FileInfo) -> Response:
    """What GET and HEAD answer for a file.

    Args:
        owner: Whose it is, or who may read it.
        info: As it was given to this principal just now.
    """
    headers = {**download_headers(info), "accept-ranges": "bytes"}
    if is_known(request.headers.get("if-none-match"), headers["etag"]):
        return Response(status_code=304, headers={"etag": headers["etag"]})
    if request.method == "HEAD":  # a Range has a meaning with GET only (RFC 9110, 14.2)
        return Response(headers={**headers, "content-length": str(info.size)})
    try:
        part = parse_range(_range_of(request, headers["etag"]), info.size)
    except RangeNotSatisfiable as error:
        answer = problem_response(error, instance=request.url.path)
        answer.headers["content-range"] = f"bytes */{info.size}"
        return answer
    if part is None:
        headers["content-length"] = str(info.size)
        return StreamingResponse(files.open(owner, info.key), headers=headers)
    start, end = part
    headers["content-length"] = str(end - start)
    headers["content-range"] = f"bytes {start}-{end - 1}/{info.size}"
    return StreamingResponse(files.open(owner, info.key, start=start, end=end), 206, headers)


def _range_of(request: Request, etag: str) -> str | None:
    condition = request.headers.get("if-range")
    return request.headers.get("range") if condition in (None, etag) else None
