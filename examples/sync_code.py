"""Everything from code without async: a script, a Django view, a notebook.

In one terminal:  boltq dev sync_code:app
In another:       python sync_code.py
"""

from datetime import timedelta

from boltq import BoltQ, JobState

app = BoltQ()


@app.task
def shout(text: str) -> str:
    """A plain function; the worker runs it in a thread."""
    return text.upper()


def main():
    job = shout.submit_sync("hello")
    print(job.result_sync(timeout=30))

    jobs = app.submit_many_sync([shout.job(word) for word in ["many", "at", "once"]])
    print([job.result_sync(timeout=30) for job in jobs])

    # By name: this works in a program that does not have the task's code.
    print(app.submit_sync("shout", {"text": "by name"}).result_sync(timeout=30))

    later = shout.options(delay=timedelta(hours=1), priority="high").submit_sync("later")
    print(later.record_sync().state.value)
    assert later.cancel_sync("not needed") is JobState.CANCELLED
    print(later.record_sync().state.value)


if __name__ == "__main__":
    main()
