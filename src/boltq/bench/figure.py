"""A figure, and what a measurement needs."""

import msgspec

from boltq.broker.broker import Broker
from boltq.settings import Settings


class Figure(msgspec.Struct):
    """One measured figure."""

    key: str
    what: str
    value: float
    unit: str
    goal: str = ""


class Bench(msgspec.Struct):
    """What a measurement needs: an open broker on an empty namespace."""

    broker: Broker
    settings: Settings
    jobs: int  # of each throughput figure
    slots: int  # of each worker
