"""One function for each script under lua/: it has the script's name, and answers its call as data.

In the rooms of workflows and of operations the names go without `flow_` and `op_`. One that Python has already ends
with an underscore. Nothing else names a script; `Broker.send` and `SyncBroker.send` carry the calls out.
"""

from boltq.broker.calls import (
    api_keys,
    audit_log as audit_log,
    jobs,
    namespace,
    operations,
    queues,
    search,
    workers,
    workflows,
)

__all__ = ["api_keys", "audit_log", "jobs", "namespace", "operations", "queues", "search", "workers", "workflows"]
