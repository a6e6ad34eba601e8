"""Those who listen: they come and go, and harm nobody."""

import logging

from boltq.domain.happenings import RegistrationLost, StoreBack
from boltq.telemetry.listeners import Listeners


def test_a_listener_hears_what_happens_until_it_is_detached():
    listeners, heard = Listeners(), []
    assert not listeners.present
    listeners.announce(StoreBack(1.0))
    detach = listeners.attach(heard.append)
    assert listeners.present
    listeners.announce(StoreBack(2.0))
    detach()
    detach()
    listeners.announce(StoreBack(3.0))
    assert heard == [StoreBack(2.0)]
    assert not listeners.present


def test_one_that_raises_harms_nobody_and_is_logged_once(caplog):
    listeners, heard = Listeners(), []

    def bad(_happening: object) -> None:
        raise ValueError("a bug of the listener's")

    listeners.attach(bad)
    listeners.attach(heard.append)
    with caplog.at_level(logging.ERROR):
        for partition in range(3):
            listeners.announce(RegistrationLost(partition, "w.1"))
    assert [one.partition for one in heard] == [0, 1, 2]
    [record] = caplog.records
    assert "a bug of the listener's" in record.exc_text
