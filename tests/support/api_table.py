"""The API's table of calls, for the tests that walk all of it."""

from boltq.broker.broker import Broker
from boltq.server.app import calls_of
from boltq.server.backend import Backend
from boltq.settings import Settings

CALLS = calls_of(Backend(Broker("redis://127.0.0.1:1"), Settings()))  # nothing is opened, and nothing called
