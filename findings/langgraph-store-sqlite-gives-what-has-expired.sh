#!/bin/sh
# langgraph-checkpoint-sqlite 3.1.2: an item of the store that was put with a ttl is given by get and search after its time,
# too: neither asks for expires_at. Only sweep_ttl() takes items away, and only where somebody calls it or starts the
# sweeper. With refresh_on_read a read sets the time anew, also for an item whose time is over: what was to be forgotten is
# given as if it were fresh, and the sweep behind it finds nothing to do. Where the setting is left out, for which the
# store's documentation says that it is on, reads refresh nothing, not even one that asks for it with refresh_ttl=True: what
# is in use every day is swept. So the setting is to be written out, and who relies on the time calls sweep_ttl() before
# reading.
# Seen, a ttl of one hour, two hours later: get gives the item and search does, however they are asked; then the sweep takes
# 0 with refresh_on_read=True, 1 without the setting, and 1 without it and with refresh_ttl=True.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/env"
"$folder/env/bin/pip" install --quiet --disable-pip-version-check "langgraph-checkpoint-sqlite==3.1.2" \
    "langgraph-checkpoint==4.3.2" 2> /dev/null
cat > "$folder/expired.py" <<'PY'
from langgraph.store.sqlite import SqliteStore

HERE = ("notes",)


def read(setting, **options):
    with SqliteStore.from_conn_string(":memory:", ttl={"default_ttl": 60, **setting}) as store:
        store.setup()
        store.put(HERE, "code", {"n": 4711})
        # Two hours later, without waiting for them.
        store.conn.execute("UPDATE store SET expires_at = DATETIME(expires_at, '-2 hours')")
        got, found = store.get(HERE, "code", **options), store.search(HERE, **options)
        return got is not None, len(found), store.sweep_ttl()


seen = [read({"refresh_on_read": True}), read({}), read({}, refresh_ttl=True)]
print(seen)
assert seen == [(True, 1, 0), (True, 1, 1), (True, 1, 1)], seen
PY
"$folder/env/bin/python" -W ignore "$folder/expired.py"
