"""What people look at: lists of runs, where a run's time went, what it cost, how the graph is used.

Reads only. Rights: an owner is given to everything that reads rows of somebody.
"""
