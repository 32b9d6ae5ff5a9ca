"""Wires of other people's clients: each is spoken over the same agent, the same runs, the same rights.

One file or folder per protocol. What belongs there: reading a client's words, asking the
`graph.Agent`'s public methods, and writing the answer as that client expects it. What does not:
state of its own (threads, runs and files are the agent's), a right of its own (the gate in
`server.middleware.auth` lets callers in, and the agent decides whose a thing is), or a word of
another protocol. `table` names them all, `refusals` the form of each one's errors.
"""
