"""Recordings: a finished turn as a document, its replay without model, tools or network, and what differs."""
