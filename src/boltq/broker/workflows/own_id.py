"""The id under which a new workflow is submitted, again and again, until the store has answered."""

from boltq.broker.workflows.workflows import Workflows
from boltq.domain.errors import UnknownOutcome
from boltq.domain.ids import new_id
from boltq.domain.job import Submitted
from boltq.domain.workflow.plan import Plan


class OwnId:
    """The id under which one workflow is submitted until the store answers, so that repeats make no second one.

    When the store finds the very first try too old, because our clock is far behind, the workflow takes a new id:
    nobody has sent the old one before.
    """

    def __init__(self, home: int) -> None:
        self.id = new_id(home)
        self._home = home
        self._was_sent = False

    async def submit(
        self, workflows: Workflows, plan: Plan, form: str, *, key: str, means: str = "", by: str = ""
    ) -> Submitted:
        """See Workflows.submit."""
        was_sent, self._was_sent = self._was_sent, True
        try:
            return await workflows.submit(plan, form, key=key, workflow_id=self.id, means=means, by=by)
        except UnknownOutcome:
            if was_sent:
                raise
        self.id = new_id(self._home)
        return await workflows.submit(plan, form, key=key, workflow_id=self.id, means=means, by=by)
