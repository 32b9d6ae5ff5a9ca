"""The database as a platform: one engine, its health, its outages and what outlives them.

Tables belong to whoever keeps something in them.
"""
