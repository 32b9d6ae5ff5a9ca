"""The services of this module, for the container."""

# No `from __future__ import annotations`: dishka reads the annotations at run time.

from collections.abc import Iterator

from dishka import Provider, Scope, provide

from waystation import Book, EventBus
from waystation_greeter.events import Greeted
from waystation_greeter.greeter import Greeter, Tally
from waystation_greeter.node import Greet
from waystation_greeter.settings import GreeterSettings, GreetingsFile


class GreeterProvider(Provider):
    """Greeter, its tally, and the step of the graph."""

    scope = Scope.APP

    @provide
    def greeter(self, book: Book, bus: EventBus) -> Greeter:
        return Greeter(book[GreeterSettings].word, book[GreetingsFile].greetings, publish=bus.publish)

    @provide
    def tally(self, bus: EventBus) -> Iterator[Tally]:
        tally = Tally()
        subscription = bus.subscribe(Greeted, tally.count, name="greeter")
        yield tally
        bus.unsubscribe(subscription)

    node = provide(Greet)
