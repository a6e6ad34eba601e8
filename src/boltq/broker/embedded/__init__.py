"""The store that comes along: the bundled Valkey as a child process, durable, private and shared.

A data directory has at most one server and any number of users. Three locks (`flock`) keep it so, because the
kernel drops a lock when its holder dies, however it dies:

    lock        exclusive, by whoever is starting or stopping the server just now
    users       shared, by every process that uses the store; who gets it exclusively is the last one out
    server.pid  exclusive, by the server itself: it inherits the locked file, so "locked" means "alive"
                (or that a child rewrites its file; such a child notices within a second that the server died)

A server that lost all its users to `kill -9` stays until the next user attaches and leaves. It must not die with
the process that launched it, since others may be attached.
"""

from boltq.broker.embedded.options import EmbeddedError, Fsync, StoreOptions
from boltq.broker.embedded.server import server_binary
from boltq.broker.embedded.store import EmbeddedStore

__all__ = ["EmbeddedError", "EmbeddedStore", "Fsync", "StoreOptions", "server_binary"]
