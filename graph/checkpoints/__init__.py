"""LangGraph's checkpoints in our database: savers that know the thread's holder, and their upkeep.

What carries threads to the next release stands here too, and the compaction of what nobody needs any more.
"""
