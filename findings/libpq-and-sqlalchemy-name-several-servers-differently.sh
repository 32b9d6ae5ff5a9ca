#!/bin/sh
# SQLAlchemy 2.1.9 and psycopg 3.3.9 (libpq 18): the URL with several servers that libpq's manual gives,
# postgresql://me@one:5432,two:5433/db, is refused by make_url with a bare ValueError of int(). SQLAlchemy's own form,
# ?host=one:5432&host=two:5433, is taken by libpq without a word, as its last server only, with the port as a part of
# its name; so one setting that feeds both (an engine, and a connection for LISTEN) works for one of them.
# ?host=one,two&port=5432,5433 is understood by both.
# Seen: ValueError; {'host': 'two:5433'}; both: one,two and 5432,5433.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/env"
"$folder/env/bin/pip" install --quiet --disable-pip-version-check "sqlalchemy==2.1.9" "psycopg[binary]==3.3.9"
cat > "$folder/read.py" <<'PY'
from psycopg.conninfo import conninfo_to_dict
from sqlalchemy import create_engine
from sqlalchemy.engine import make_url


def by_sqlalchemy(text):
    try:
        url = make_url(text)
    except ValueError as error:
        return type(error).__name__
    given = create_engine(url).dialect.create_connect_args(url)[1]
    return given.get("host"), str(given.get("port"))


def by_libpq(text):
    given = conninfo_to_dict(text.replace("+psycopg", ""))
    return given.get("host"), given.get("port")


forms = [
    "postgresql+psycopg://me@one:5432,two:5433/db",
    "postgresql+psycopg://me@/db?host=one:5432&host=two:5433",
    "postgresql+psycopg://me@/db?host=one,two&port=5432,5433",
]
found = [(by_sqlalchemy(form), by_libpq(form)) for form in forms]
print(*found, sep="\n")
both = ("one,two", "5432,5433")
assert found == [("ValueError", both), (both, ("two:5433", None)), (both, both)], found
PY
"$folder/env/bin/python" "$folder/read.py"
