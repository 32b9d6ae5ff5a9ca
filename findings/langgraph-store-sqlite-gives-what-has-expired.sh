#!/bin/sh
# langgraph-checkpoint-sqlite 3.1.2: an item of the store that was put with a ttl is given by get and search after its time, too:
# neither asks for expires_at, and only sweep_ttl() takes items away, which runs where somebody calls it or starts the
# sweeper, every five minutes unless told otherwise. Reading sets the time anew (refresh_on_read is the default), and does
# so for an item whose time is over. So what was to be forgotten is given as if it were fresh, and what is read once more before
# a sweep has its whole time again: the sweep that comes behind finds nothing to do.
# Who relies on the time puts it into the value and looks at it, or calls sweep_ttl() before reading.
# Seen, a ttl of one hour, two hours later: get and search give the item, the sweep takes 0; with refresh_ttl=False they
# give it, too, and the sweep takes 1.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/env"
"$folder/env/bin/pip" install --quiet --disable-pip-version-check "langgraph-checkpoint-sqlite==3.1.2" \
    "langgraph-checkpoint==4.3.2" 2> /dev/null
cat > "$folder/expired.py" <<'PY'
from langgraph.store.sqlite import SqliteStore

HERE = ("notes",)


def read(**options):
    with SqliteStore.from_conn_string(":memory:", ttl={"default_ttl": 60}) as store:
        store.setup()
        store.put(HERE, "code", {"n": 4711})
        # Two hours later, without waiting for them.
        store.conn.execute("UPDATE store SET expires_at = DATETIME(expires_at, '-2 hours')")
        got, found = store.get(HERE, "code", **options), store.search(HERE, **options)
        return got is not None, len(found), store.sweep_ttl()


seen = [read(), read(refresh_ttl=False)]
print(seen)
assert seen == [(True, 1, 0), (True, 1, 1)], seen
PY
"$folder/env/bin/python" -W ignore "$folder/expired.py"
