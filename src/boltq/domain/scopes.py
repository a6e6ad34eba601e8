"""What a caller may be allowed to do: the scopes of API keys."""

from enum import StrEnum


class Scope(StrEnum):
    """One right. `submit:emails` grants it for the queues of that name only (`*` stands for any text)."""

    SUBMIT = "submit"  # submit jobs
    READ = "read"  # see jobs, queues, workers and numbers, without what is in the jobs
    PAYLOAD = "payload"  # see data, results, errors and log lines as well
    OPERATE = "operate"  # cancel, replay, edit, delete, pause, drain: what changes jobs, queues and workers
    WORKER = "worker"  # run jobs
    METRICS = "metrics"  # read the metrics
    ADMIN = "admin"  # everything, API keys included
