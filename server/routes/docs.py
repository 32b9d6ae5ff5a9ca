"""/docs without a network: Swagger UI from a package of ours instead of a CDN."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, FastAPI, Request
from fastapi.openapi.docs import get_swagger_ui_html
from fastapi.responses import HTMLResponse
from fastapi.staticfiles import StaticFiles
from swagger_ui_bundle import swagger_ui_path

ASSETS = "/docs/assets"
# The newest version of the format that the packaged Swagger UI draws; what
# FastAPI writes differs from it only where Swagger UI does not look.
DRAWN_VERSION = "3.0.3"

router = APIRouter()


@router.get("/docs", include_in_schema=False)
async def page(request: Request) -> HTMLResponse:
    """The interactive description of every route."""
    base = request.scope.get("root_path", "").rstrip("/")
    return get_swagger_ui_html(
        openapi_url=f"{base}/docs/openapi.json",
        title="Waystation",
        swagger_js_url=f"{base}{ASSETS}/swagger-ui-bundle.js",
        swagger_css_url=f"{base}{ASSETS}/swagger-ui.css",
        swagger_favicon_url=f"{base}{ASSETS}/favicon-32x32.png",
        swagger_ui_parameters={"validatorUrl": None, "docExpansion": "none"},
    )


@router.get("/docs/openapi.json", include_in_schema=False)
async def drawn(request: Request) -> dict[str, Any]:
    """/openapi.json as the page draws it."""
    return {**request.app.openapi(), "openapi": DRAWN_VERSION}


def mount_assets(app: FastAPI) -> None:
    app.mount(ASSETS, StaticFiles(directory=str(swagger_ui_path)), name="docs-assets")
