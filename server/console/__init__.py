"""The console: pages for people at `/`.

A page is a row in `table`, a template, and a script of ours. Everything that it shows it asks the
public API for, with the rights of whoever looks; nothing of a page is kept in a process.
"""
