"""Files and locks of a data directory: for our eyes only, whole or not at all."""

import os
from contextlib import ExitStack, suppress
from pathlib import Path

with suppress(ImportError):  # not on Windows, where `server_binary` says no before it is needed
    import fcntl

LOG_BYTES = 5 << 20  # a longer log is set aside at the next launch


def locked(path: Path, how: int) -> int:
    """The file's descriptor, with a lock on it. Raises BlockingIOError when `how` has LOCK_NB and another has it."""
    file = opened(path)
    try:
        fcntl.flock(file, how)
    except BaseException:
        os.close(file)
        raise
    return file


def is_locked(path: Path, against: int) -> bool:
    """Whether somebody holds a lock that this one cannot stand beside."""
    if not path.exists():
        return False
    try:
        os.close(locked(path, against | fcntl.LOCK_NB))
    except BlockingIOError:
        return True
    return False


def opened(path: Path, flags: int = 0) -> int:
    """A descriptor of its own: a lock belongs to the opening. Children do not inherit it."""
    return os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | flags, 0o600)


def closing(files: ExitStack, file: int) -> int:
    """Have the stack close a descriptor at its end; answers the descriptor."""
    files.callback(os.close, file)
    return file


def write_whole(path: Path, content: bytes) -> None:
    """All or nothing."""
    draft = path.with_name(path.name + ".new")
    file = opened(draft, os.O_TRUNC)
    try:
        os.write(file, content)
    finally:
        os.close(file)
    draft.replace(path)


def set_aside(path: Path) -> int:
    """Keep a log bounded: a long one becomes `.1`. Returns the length of what stays."""
    size = path.stat().st_size if path.exists() else 0
    if size <= LOG_BYTES:
        return size
    path.replace(path.with_name(path.name + ".1"))
    return 0


def pipe_with(content: bytes) -> int:
    """The reading end of a pipe, which takes some pages without a reader."""
    reading, writing = os.pipe()
    os.write(writing, content)
    os.close(writing)
    return reading
