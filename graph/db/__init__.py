"""Our tables beside LangGraph's, their migrations, and the database as it is opened.

Rows only: no rule of a turn stands here.
"""
