"""Where log lines go: standard error, one line each; in production one JSON object each."""

import json
import logging
import sys
from datetime import UTC, datetime
from typing import Any, Final

from boltq.cli.show import clean
from boltq.settings import BadSetting, Settings

_LEVELS: Final = {"debug": logging.DEBUG, "info": logging.INFO, "warning": logging.WARNING, "error": logging.ERROR}
_USUAL: Final = {*vars(logging.makeLogRecord({})), "message", "asctime", "taskName"}


def set_up(settings: Settings, handler: logging.Handler | None = None) -> None:
    """Send the log lines of this process there. Raises BadSetting."""
    level = _LEVELS.get(settings.log_level.lower())
    if level is None:
        raise BadSetting(f"BOLTQ_LOG_LEVEL={settings.log_level}: one of {', '.join(_LEVELS)}")
    handler = handler or logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonLine() if settings.environment == "production" else Line())
    logging.basicConfig(level=level, handlers=[handler], force=True)
    for chatty in ("asyncio", "uvicorn", "uvicorn.error", "watchfiles"):
        logging.getLogger(chatty).setLevel(max(level, logging.WARNING))


class Line(logging.Formatter):
    """For people: time, level, who, what, and what else is known of it."""

    def format(self, record: logging.LogRecord) -> str:
        """One line; a traceback follows on its own."""
        stamp = datetime.fromtimestamp(record.created).astimezone().strftime("%H:%M:%S")
        text = f"{stamp} {record.levelname.lower():<7} {record.name.removeprefix('boltq.')}: {record.getMessage()}"
        line = clean(" ".join([text, *(f"{key}={value}" for key, value in _extras(record).items())]))
        return f"{line}\n{self.formatException(record.exc_info)}" if record.exc_info else line


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
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        return json.dumps(line, default=str, ensure_ascii=False)


def _extras(record: logging.LogRecord) -> dict[str, Any]:
    return {key: value for key, value in vars(record).items() if key not in _USUAL}
