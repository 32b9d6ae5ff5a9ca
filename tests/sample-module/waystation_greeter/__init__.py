"""A module for Waystation that greets people."""

from waystation_greeter.greeter import Greeter, Tally

__all__ = ["Greeter", "Tally"]
