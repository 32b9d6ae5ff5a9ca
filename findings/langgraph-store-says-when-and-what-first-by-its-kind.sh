#!/bin/sh
# langgraph-checkpoint 4.3.2 and langgraph-checkpoint-sqlite 3.1.2: `created_at` of an item of the store, "timestamp when the
# item was created", is that of its last write in InMemoryStore and SqliteStore: a memory that is written again is new, so a
# rule that keeps what is old, or forgets by age, goes wrong. And search() without a query, which gives ten items unless
# told otherwise, has a different ten in each: InMemoryStore those that were put first, SqliteStore those that were
# written last. A test over the store in memory and the service over a database show the model different memories.
# (The PostgreSQL store's source keeps created_at at an update, and orders as SqliteStore does.) SqliteStore's timestamps
# are UTC without saying so, the other's say it: the two cannot be compared, and a page that reads them is hours off.
# Who needs either puts the time into the value, and sorts what it gets with a limit that takes all.
# Seen, twelve items, the first one written again two seconds later:
#        InMemoryStore  created_at moved; ten of twelve: 0 1 2 3 4 5 6 7 8 9; timezone UTC
#        SqliteStore    created_at moved; ten of twelve: 0 first, then 6 to 11, then three of the older; no timezone
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/env"
"$folder/env/bin/pip" install --quiet --disable-pip-version-check "langgraph-checkpoint==4.3.2" \
    "langgraph-checkpoint-sqlite==3.1.2" "langchain-core==1.8.3" 2> /dev/null
cat > "$folder/when.py" <<'PY'
import sqlite3
import time

from langgraph.store.memory import InMemoryStore
from langgraph.store.sqlite import SqliteStore


def seen(store) -> tuple[bool, list[int], bool]:
    """Whether created_at moved, the items found, whether times have a zone."""
    for number in range(6):
        store.put(("user", "memories"), str(number), {"text": f"fact {number}"})
    time.sleep(1.1)  # SqliteStore counts whole seconds
    for number in range(6, 12):
        store.put(("user", "memories"), str(number), {"text": f"fact {number}"})
    first = store.get(("user", "memories"), "0")
    time.sleep(1.1)
    store.put(("user", "memories"), "0", {"text": "fact 0, better said"})
    again = store.get(("user", "memories"), "0")
    found = [int(item.key) for item in store.search(("user", "memories"))]
    return again.created_at > first.created_at, found, again.created_at.tzinfo is not None


in_memory = seen(InMemoryStore())
store = SqliteStore(sqlite3.connect(":memory:", check_same_thread=False, isolation_level=None))
store.setup()
on_sqlite = seen(store)
print("InMemoryStore", in_memory)
print("SqliteStore  ", on_sqlite)
assert in_memory == (True, list(range(10)), True), in_memory
moved, found, zone = on_sqlite
assert (moved, found[0], set(range(6, 12)) <= set(found[:7]), len(found), zone) == (True, 0, True, 10, False), on_sqlite
PY
"$folder/env/bin/python" "$folder/when.py"
