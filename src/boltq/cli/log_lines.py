"""Where the log lines of a process go: standard error, one line each; in production one JSON object each."""

import json
import logging
import sys
import traceback
from datetime import UTC, datetime
from types import TracebackType
from typing import Any, Final

from boltq.cli.show import clean
from boltq.domain.redaction import redacted, redacted_value
from boltq.settings import BadSetting, Settings

_LEVELS: Final = {"debug": logging.DEBUG, "info": logging.INFO, "warning": logging.WARNING, "error": logging.ERROR}
_USUAL: Final = {*vars(logging.makeLogRecord({})), "message", "asctime", "taskName"}


def set_up(settings: Settings, handler: logging.Handler | None = None) -> None:
    """Send the log lines of this process there. Raises BadSetting."""
    level = _LEVELS.get(settings.log_level.lower())
    if level is None:
        raise BadSetting(f"BOLTQ_LOG_LEVEL={settings.log_level}: one of {', '.join(_LEVELS)}")
    handler = handler or logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonLine() if settings.in_production else LineFormatter())
    handler.addFilter(Redaction())
    logging.basicConfig(level=level, handlers=[handler], force=True)
    sys.excepthook = _say_last_words
    for chatty in ("asyncio", "uvicorn", "uvicorn.error", "watchfiles"):
        logging.getLogger(chatty).setLevel(max(level, logging.WARNING))


class Redaction(logging.Filter):
    """Takes the secrets out of every line, whoever logs it."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Rewrite its message, its further fields and its traceback; let it pass."""
        try:
            text = record.getMessage()
        except Exception:  # noqa: BLE001 - a mistake in some call of a logger; it must not end who made it
            text = f"{record.msg!s} (its arguments do not fit)"
        record.msg, record.args = redacted(text), ()
        for name, value in _extras(record).items():
            setattr(record, name, redacted_value(name, value))
        if record.exc_info and record.exc_info[0]:
            record.exc_text = redacted("".join(traceback.format_exception(*record.exc_info)).rstrip("\n"))
        return True


class LineFormatter(logging.Formatter):
    """For people: time, level, who, what, and what else is known of it."""

    def format(self, record: logging.LogRecord) -> str:
        """One line; a traceback follows on its own."""
        stamp = datetime.fromtimestamp(record.created).astimezone().strftime("%H:%M:%S")
        text = f"{stamp} {record.levelname.lower():<7} {record.name.removeprefix('boltq.')}: {record.getMessage()}"
        line = clean(" ".join([text, *(f"{key}={value}" for key, value in _extras(record).items())]))
        return f"{line}\n{record.exc_text}" if record.exc_text else line


class JsonLine(logging.Formatter):
    """For machines."""

    def format(self, record: logging.LogRecord) -> str:
        """One JSON object."""
        line = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            **_extras(record),
        }
        if record.exc_text:
            line["traceback"] = record.exc_text
        return json.dumps(line, default=str, ensure_ascii=False)


def _say_last_words(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    """What Python says of an error that nobody expected, without the secrets."""
    sys.stderr.write(redacted("".join(traceback.format_exception(kind, error, trace))))


def _extras(record: logging.LogRecord) -> dict[str, Any]:
    return {key: value for key, value in vars(record).items() if key not in _USUAL}
