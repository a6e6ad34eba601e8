"""Listeners to what happens. While there are none, the work makes no values: it asks `present` first."""

import logging
from collections.abc import Callable

from boltq.domain.happenings import Announce, Happening

log = logging.getLogger(__name__)


class Listeners:
    """The listeners of one process. May be used from any thread."""

    def __init__(self) -> None:
        self.present = False  # an attribute, since it is asked twice for each job
        self._listeners: tuple[Announce, ...] = ()
        self._failed: set[int] = set()  # by id: a listener need not have a hash

    def attach(self, listener: Announce) -> Callable[[], None]:
        """Call it with whatever happens from now on; answers what detaches it again."""
        self._set((*self._listeners, listener))
        return lambda: self._set(tuple(other for other in self._listeners if other is not listener))

    def announce(self, happening: Happening) -> None:
        """Tell all listeners. One that raises does no harm to the work, nor to the others: it is logged once."""
        for listener in self._listeners:
            try:
                listener(happening)
            except Exception:
                if id(listener) not in self._failed:
                    self._failed.add(id(listener))
                    log.exception("a listener failed; of its further failures nothing is said")

    def _set(self, listeners: tuple[Announce, ...]) -> None:
        self._listeners, self.present = listeners, bool(listeners)
