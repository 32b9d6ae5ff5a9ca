"""The command `waystation`, also as `python -m waystation`."""

from server.cli.main import main

__all__ = ["main"]

if __name__ == "__main__":
    main()
