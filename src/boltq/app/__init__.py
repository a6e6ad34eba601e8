"""What a user's program makes and holds: an application, its tasks, handles of jobs and workflows."""

from boltq.app.app import BoltQ
from boltq.app.handles import Job, WorkflowRun
from boltq.app.task import Submission, Task

__all__ = ["BoltQ", "Job", "Submission", "Task", "WorkflowRun"]
