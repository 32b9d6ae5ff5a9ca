"""Where everything is put together: the modules' providers, bridges between their ports, one container.

Nothing here decides what a turn does. A class that needs another gets it here, through its constructor.
"""
