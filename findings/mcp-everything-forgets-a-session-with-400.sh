#!/bin/sh
# @modelcontextprotocol/server-everything 2026.8.31 over streamable HTTP answers a session that it does
# not know with HTTP 400, without an id in the JSON-RPC error. The protocol (2025-11-25, "Session
# Management") has 404 for that, and a client opens a new session only on a 404: one that follows the
# letter never recovers after the server was restarted.
# Seen: 400 {"jsonrpc":"2.0","error":{"code":-32000,"message":"Bad Request: No valid session ID provided"}}
set -eu
here=$(mktemp -d)
trap 'kill "$server" 2>/dev/null || true; rm -rf "$here"' EXIT
server=""
cd "$here"
npm install --silent --ignore-scripts --no-audit --no-fund @modelcontextprotocol/server-everything@2026.8.31
PORT=38471 node node_modules/@modelcontextprotocol/server-everything/dist/index.js streamableHttp >/dev/null 2>&1 &
server=$!
ask() {
    curl -s -w ' %{http_code}' -X POST http://127.0.0.1:38471/mcp \
        -H 'content-type: application/json' -H 'accept: application/json, text/event-stream' \
        -H 'mcp-protocol-version: 2025-11-25' -H 'mcp-session-id: gone' \
        -d '{"jsonrpc":"2.0","id":1,"method":"ping"}'
}
said=""
for _ in $(seq 100); do
    said=$(ask) && break
    sleep 0.2
done
echo "$said"
case "$said" in
*'No valid session ID provided"}} 400') exit 0 ;;
esac
echo "it behaves in another way now" >&2
exit 1
