"""The graph itself: its state and reducers, steps and places, the decisions between them, the window.

Everything that knows how a turn is routed stands here, and nothing that stores or serves it.
"""
