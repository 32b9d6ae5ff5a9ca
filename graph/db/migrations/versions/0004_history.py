"""Full-text search over the transcript, and files that forks share.

A later migration that rebuilds the table `transcript` on SQLite has to make the three triggers again.
"""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"

# Accents and punctuation away; what is left of a long text fits into a tsvector.
# `graph.threads.history.search` asks with the same words, or PostgreSQL would not use the index.
VECTOR = (
    "to_tsvector('simple', regexp_replace(regexp_replace(normalize(left(text, 100000), NFD), "
    "'[\u0300-\u036f]+', '', 'g'), '[!-/:-@\\[-`{-~\u00a0-\u00bf\u2000-\u206f\u3000-\u303f]+', ' ', 'g'))"
)


def upgrade() -> None:
    op.create_table(
        "shared_files",
        sa.Column("thread_id", sa.String(64), primary_key=True),
        sa.Column("key", sa.String(64), primary_key=True),
    )
    op.create_index("shared_files_by_key", "shared_files", ["key"])
    bind = op.get_bind()
    if bind.dialect.name == "sqlite":
        _on_sqlite(bind)
    else:
        # exec_driver_sql: neither the colons nor the percent signs of an expression are parameters.
        bind.exec_driver_sql(f"CREATE INDEX transcript_words ON transcript USING gin ({VECTOR})")


def _on_sqlite(bind: sa.Connection) -> None:
    options = bind.exec_driver_sql("SELECT sqlite_compileoption_used('ENABLE_FTS5')").scalar()
    if not options:
        return  # Search reads every message then.
    for statement in (TABLE, ADDED, REMOVED, CHANGED, FILL):
        bind.exec_driver_sql(statement)


TABLE = (
    "CREATE VIRTUAL TABLE transcript_words USING fts5("
    "text, content='transcript', content_rowid='seq', tokenize='unicode61 remove_diacritics 2')"
)
_ADD = "INSERT INTO transcript_words (rowid, text) VALUES (new.seq, new.text);"
_REMOVE = "INSERT INTO transcript_words (transcript_words, rowid, text) VALUES ('delete', old.seq, old.text);"
ADDED = f"CREATE TRIGGER transcript_words_added AFTER INSERT ON transcript BEGIN {_ADD} END"
REMOVED = f"CREATE TRIGGER transcript_words_removed AFTER DELETE ON transcript BEGIN {_REMOVE} END"
CHANGED = (
    f"CREATE TRIGGER transcript_words_changed AFTER UPDATE OF text ON transcript BEGIN {_REMOVE} {_ADD} END"
)
FILL = "INSERT INTO transcript_words (transcript_words) VALUES ('rebuild')"
