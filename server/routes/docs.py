"""/docs without a network: Swagger UI from a package instead of a CDN, and no script within the page."""

from __future__ import annotations

from importlib.resources import files
from string import Template

from fastapi import APIRouter, FastAPI, Request, Response
from fastapi.responses import HTMLResponse
from fastapi.staticfiles import StaticFiles

from core.settings.platform import ServerSettings
from server.console.policies import DOCS
from server.routes.common import OpenAgent

ASSETS = "/docs/assets"
START = "/docs/start.js"

router = APIRouter(include_in_schema=False)

_PAGE = Template("""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Waystation</title>
<link rel="icon" href="$base$assets/favicon.png">
<link rel="stylesheet" href="$base$assets/swagger-ui.css">
<script src="$base$assets/swagger-ui-bundle.js" defer></script>
<script src="$base$start" defer></script>
<style>
.ways { display: flex; flex-wrap: wrap; gap: 4px 20px; padding: 12px 20px; font: 14px/1.5 sans-serif; }
.ways a { color: #0d6b63; }
</style>
</head>
<body>
<nav class="ways" aria-label="Other pages">$ways</nav>
<div id="swagger-ui" data-description="$base/openapi.json"></div>
</body>
</html>
""")
# A login of the console counts here too, for which what changes something needs this header.
_SCRIPT = """const place = document.getElementById("swagger-ui");
const withHeader = (request) => {
  request.headers["X-Waystation-Console"] = "1";
  return request;
};
SwaggerUIBundle({
  url: place.dataset.description,
  dom_id: "#swagger-ui",
  deepLinking: true,
  showExtensions: true,
  showCommonExtensions: true,
  validatorUrl: null,
  requestInterceptor: withHeader,
});
"""


_WAYS = (("/agent/playground/", "Playground"), ("/chat/playground/", "Chat playground"))


@router.get("/docs")
async def page(request: Request, agent: OpenAgent) -> HTMLResponse:
    """The interactive description of every route."""
    base = request.scope.get("root_path", "").rstrip("/")
    console = (("/", "Console"),) if agent.book[ServerSettings].console else ()
    ways = "".join(f'<a href="{base}{path}">{name}</a>' for path, name in (*console, *_WAYS))
    text = _PAGE.substitute(base=base, assets=ASSETS, start=START, ways=ways)
    return HTMLResponse(text, headers={"Content-Security-Policy": DOCS})


@router.get(START)
async def start() -> Response:
    """What makes the page of the description."""
    return Response(_SCRIPT, media_type="text/javascript")


def mount_assets(app: FastAPI) -> None:
    """Serve Swagger UI's own files."""
    app.mount(ASSETS, StaticFiles(directory=str(files("fastapi_offline") / "static")), name="docs-assets")
