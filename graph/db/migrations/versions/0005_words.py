"""Search in folded words: what is stored is what `core.words` makes of a text, on both databases.

Rows that are there have none yet; `graph.db.database` makes them, some at a time, when the
database is opened. A later migration that rebuilds the table `transcript` on SQLite has to make
the three triggers again.
"""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"

# `graph.threads.history.search` asks with the same expression, or PostgreSQL would not use the index.
VECTOR = "array_to_tsvector(string_to_array(words, ' '))"


def upgrade() -> None:
    op.add_column("threads", sa.Column("title_folded", sa.Text))
    op.add_column("threads", sa.Column("tags_folded", sa.Text))
    op.add_column("transcript", sa.Column("words", sa.Text))
    bind = op.get_bind()
    if bind.dialect.name == "sqlite":
        _on_sqlite(bind)
    else:
        bind.exec_driver_sql("DROP INDEX IF EXISTS transcript_words")
        bind.exec_driver_sql(f"CREATE INDEX transcript_words ON transcript USING gin ({VECTOR})")
    bind.exec_driver_sql("CREATE INDEX transcript_unfolded ON transcript (seq) WHERE words IS NULL")


def _on_sqlite(bind: sa.Connection) -> None:
    if not bind.exec_driver_sql("SELECT 1 FROM sqlite_master WHERE name = 'transcript_words'").scalar():
        return  # This SQLite has no FTS5: search reads every message.
    for what in ("added", "removed", "changed"):
        bind.exec_driver_sql(f"DROP TRIGGER IF EXISTS transcript_words_{what}")
    bind.exec_driver_sql("DROP TABLE transcript_words")
    for statement in (TABLE, FILL, ADDED, REMOVED, CHANGED):
        bind.exec_driver_sql(statement)


# The tokenizer `ascii` parts at spaces and takes every other character as it is: the words are made already.
TABLE = (
    "CREATE VIRTUAL TABLE transcript_words USING fts5("
    "words, content='transcript', content_rowid='seq', tokenize='ascii')"
)
_ADD = "INSERT INTO transcript_words (rowid, words) VALUES (new.seq, new.words);"
_REMOVE = (
    "INSERT INTO transcript_words (transcript_words, rowid, words) VALUES ('delete', old.seq, old.words);"
)
ADDED = f"CREATE TRIGGER transcript_words_added AFTER INSERT ON transcript BEGIN {_ADD} END"
REMOVED = f"CREATE TRIGGER transcript_words_removed AFTER DELETE ON transcript BEGIN {_REMOVE} END"
CHANGED = (
    f"CREATE TRIGGER transcript_words_changed AFTER UPDATE OF words ON transcript BEGIN {_REMOVE} {_ADD} END"
)
FILL = "INSERT INTO transcript_words (transcript_words) VALUES ('rebuild')"
