"""The same module for a service that does not go without it; named by an entry point in place of `module`."""

from dataclasses import replace

from waystation_greeter.module import MODULE as OPTIONAL

MODULE = replace(OPTIONAL, required=True)
