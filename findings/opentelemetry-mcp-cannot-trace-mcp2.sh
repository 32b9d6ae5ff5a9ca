#!/bin/sh
# opentelemetry-instrumentation-mcp 0.62.4 with mcp 2.3.0: instrument() raises, since it wraps streamablehttp_client, which
# 2.x calls by another name. A service that turns tracing on as its first step does not start; one that catches the error
# has some of the wrappers and not the others. Both packages are installed beside each other without a word: what it asks of
# mcp stands in an extra, and the check that instrument() makes itself, "mcp >= 1.6.0", has no upper end.
# openinference-instrumentation-mcp 2.0.13 takes both.
# Seen: mcp 2.3.0: PathResolutionError, 'streamablehttp_client'; openinference fine; mcp 1.30.0: fine, fine.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cat > "$folder/start.py" <<'PY'
from importlib.metadata import version

from openinference.instrumentation.mcp import MCPInstrumentor
from opentelemetry.instrumentation.mcp import McpInstrumentor

print("mcp", version("mcp"))
for kind, instrumentor in (("openinference", MCPInstrumentor), ("opentelemetry", McpInstrumentor)):
    try:
        instrumentor().instrument()
        print(kind, "fine")
    except Exception as error:
        print(kind, type(error).__name__, "streamablehttp_client" in str(error))
PY
for version in 2.3.0 1.30.0; do
    python3 -m venv "$folder/$version"
    "$folder/$version/bin/pip" install --quiet --disable-pip-version-check "mcp==$version" \
        "opentelemetry-instrumentation-mcp==0.62.4" "openinference-instrumentation-mcp==2.0.13" > /dev/null 2>&1
done
seen=$(for version in 2.3.0 1.30.0; do "$folder/$version/bin/python" -W ignore "$folder/start.py" 2> /dev/null; done)
printf '%s\n' "$seen"
test "$seen" = "mcp 2.3.0
openinference fine
opentelemetry PathResolutionError True
mcp 1.30.0
openinference fine
opentelemetry fine"
