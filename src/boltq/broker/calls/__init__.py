"""One function for each script under lua/: it has the script's name, and answers its call as data.

The names of workflows, operations and the audit log go without `flow_`, `op_` and `audit_`; a name that Python has
already ends with an underscore. Only this folder names scripts; `send` of both brokers carries the calls out.
"""

from boltq.broker.calls import api_keys, audit_log, jobs, namespace, operations, queues, search, workers, workflows

__all__ = ["api_keys", "audit_log", "jobs", "namespace", "operations", "queues", "search", "workers", "workflows"]
