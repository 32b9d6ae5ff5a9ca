#!/bin/sh
# smolagents[mcp] 1.26.0 (mcpadapt 0.1.19) and autogen-ext[mcp] 0.7.5, each installed as its page says: the extra asks for mcp without
# an upper end, so pip takes 2.3.0, where names that both use are gone. Nothing is wrong at installing, nor in smolagents at
# `from smolagents import MCPClient`: it is an ImportError about a name of mcp when the first server is connected, and in
# autogen-ext one at the import. With "mcp[ws]<2" beside them both work. What else lives in that environment is held to mcp 1
# then: tools by langchain-mcp-adapters are too, those of fastmcp 4 are not.
# Seen: as installed: ImportError streamablehttp_client, ImportError RequestContext; with mcp[ws]<2: it asks the server, imported.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
cat > one.py <<'PY'
from smolagents import MCPClient


try:
    MCPClient({"url": "http://127.0.0.1:9/mcp", "transport": "streamable-http"})
except ImportError as error:
    print("smolagents", type(error).__name__, str(error).split("'")[1])
except BaseException:  # nothing listens there
    print("smolagents", "asks the server")
PY
cat > two.py <<'PY'
try:
    from autogen_ext.tools.mcp import mcp_server_tools
    print("autogen-ext", "imported")
except ImportError as error:
    print("autogen-ext", type(error).__name__, str(error).split("'")[1])
PY
seen=$(for which in "one smolagents[mcp]==1.26.0" "two autogen-ext[mcp]==0.7.5"; do
    set -- $which
    python3 -m venv $1
    $1/bin/pip install --quiet --disable-pip-version-check "$2" "mcpadapt==0.1.19" autogen-agentchat "mcp==2.3.0" 2> /dev/null
    NO_PROXY=127.0.0.1 timeout 60 $1/bin/python -W ignore $1.py 2> /dev/null
    $1/bin/pip install --quiet --disable-pip-version-check "mcp[ws]<2" 2> /dev/null
    NO_PROXY=127.0.0.1 timeout 60 $1/bin/python -W ignore $1.py 2> /dev/null
done)
printf '%s\n' "$seen"
test "$seen" = "smolagents ImportError streamablehttp_client
smolagents asks the server
autogen-ext ImportError RequestContext
autogen-ext imported"
