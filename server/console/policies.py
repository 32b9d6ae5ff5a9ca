"""What pages may do in a browser (Content Security Policy), by where they come from."""

from __future__ import annotations

# Ours: no script and no style but those of this service's files, and no HTML put together by a script,
# except by the one policy of `static/dom.js`, for what the service has sanitised.
CONSOLE = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self' blob: data:",
        "connect-src 'self'",
        "form-action 'self'",
        "base-uri 'none'",
        "frame-ancestors 'none'",
        "require-trusted-types-for 'script'",
        "trusted-types waystation",
    )
)
# Swagger UI makes styles of its own while it runs.
DOCS = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self' 'unsafe-inline'",
        "img-src 'self' data:",
        "connect-src 'self'",
        "form-action 'self'",
        "base-uri 'none'",
        "frame-ancestors 'none'",
    )
)
# LangServe writes schemas into its page as a script, and its forms make functions of them.
PLAYGROUND = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self' 'unsafe-inline' 'unsafe-eval'",
        "style-src 'self' 'unsafe-inline'",
        "img-src 'self' data: blob:",
        "font-src 'self' data:",
        "connect-src 'self'",
        "form-action 'self'",
        "base-uri 'none'",
        "frame-ancestors 'none'",
    )
)
# For everything else: what is no page does nothing.
FRAMES = "frame-ancestors 'none'"
PLAYGROUNDS = ("/agent/playground", "/chat/playground")
