"""Databases on their way: to the other kind, into a backup and back.

Rows are read as tuples that are the same from both kinds, and written, counted and hashed as such
(`rows`); `sqlite` and `postgres` are the two ends, `copying` goes from one to the other.
"""
