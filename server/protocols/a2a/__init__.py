"""A2A 1.0 (https://a2a-protocol.org), for other agents: JSON-RPC at `POST /a2a`, and the agent's card.

A task is a run of ours, its context the run's thread: nothing is kept beside them, so every process
of the service knows every task, after a restart too. `a2a-sdk` (the extra `a2a`) reads requests by
the protocol's own schema; it is imported with the first one. Answers are written by hand.
"""
