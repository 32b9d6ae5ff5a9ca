#!/bin/sh
# opentelemetry-instrumentation-mcp 0.62.4 with mcp 2.3.0: instrument() waits for the module mcp.client.streamable_http and then
# wraps a function that 2.x calls by another name. The error comes out of the import: whatever imports mcp first after
# instrument() fails, so a service that starts tracing first, as it should, does not start, and one that imported mcp before
# fails at instrument(). Both are installed beside each other without a word (the package asks for no version of mcp that
# pip would see). With mcp 1.30.0 both orders work; openinference-instrumentation-mcp 2.0.13 works with both.
# Seen: mcp 2.3.0: PathResolutionError at import mcp, and at instrument(); mcp 1.30.0: fine, fine.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cat > "$folder/start.py" <<'PY'
import sys


def instrument():
    from opentelemetry.instrumentation.mcp import McpInstrumentor

    McpInstrumentor().instrument()


def use():
    import mcp
    import mcp.client.streamable_http  # noqa: F401


for step in (instrument, use) if sys.argv[1] == "first" else (use, instrument):
    try:
        step()
    except Exception as error:
        print(step.__name__, type(error).__name__)
        break
else:
    print("fine")
PY
for version in 2.3.0 1.30.0; do
    python3 -m venv "$folder/$version"
    "$folder/$version/bin/pip" install --quiet --disable-pip-version-check "mcp==$version" \
        "opentelemetry-instrumentation-mcp==0.62.4" > /dev/null 2>&1
done
seen=$(for version in 2.3.0 1.30.0; do
    for order in first last; do
        echo "$version $order $("$folder/$version/bin/python" -W ignore "$folder/start.py" $order 2> /dev/null)"
    done
done)
printf '%s\n' "$seen"
test "$seen" = "2.3.0 first use PathResolutionError
2.3.0 last instrument PathResolutionError
1.30.0 first fine
1.30.0 last fine"
