"""Notices that a function has forked: its copy of the worker ends with the function, and does no work in our name."""

import os

number = 0  # of forks that this process is a child of; asking the system for a process's number costs each job more


def end_copy() -> None:
    """End this process, which is a copy: called when a function returns in it."""
    os._exit(0)


def _note_fork() -> None:
    global number  # noqa: PLW0603 - there is one process
    number += 1


if hasattr(os, "register_at_fork"):  # not on Windows
    os.register_at_fork(after_in_child=_note_fork)
