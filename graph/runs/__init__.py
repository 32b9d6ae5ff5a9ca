"""What is kept of runs: the ledger, the lease with its fence, receipts of tool calls, and the reply.

The database is the truth here; no process is named but by its lease. What a run tells: `graph.runs.events`.
"""
