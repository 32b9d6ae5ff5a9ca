"""A person's threads: their list, what was said in them, their size, their end, and who may see them.

What reads or rewrites a thread's past (search, fork, export, restore) stands in `graph.threads.history`.
"""
