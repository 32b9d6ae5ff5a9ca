"""What this process does with runs: takes requests in, begins, follows and looks after runs.

What a run is, and what is stored of it, belongs to `graph.runs`; what happens in an attempt, to `graph.turn`.
"""
