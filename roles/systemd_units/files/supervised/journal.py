"""Give log lines the priority that the journal understands: sd-daemon(3)."""

import logging
import logging.config
import os
import sys
from typing import Any

# journald's numbers, from syslog(3).
PRIORITIES = ((logging.CRITICAL, 2), (logging.ERROR, 3), (logging.WARNING, 4), (logging.INFO, 6), (logging.NOTSET, 7))


class PriorityFormatter(logging.Formatter):
    """Puts a record's priority before each line that another formatter makes of it, so also of a traceback."""

    def __init__(self, inner: logging.Formatter | None) -> None:
        """Keep the formatter that makes the text; none means Python's default."""
        super().__init__()
        self.inner = inner or logging.Formatter()

    def format(self, record: logging.LogRecord) -> str:
        """Return the text with marks that journald takes off again."""
        priority = next(number for level, number in PRIORITIES if record.levelno >= level)
        return "\n".join(f"<{priority}>{line}" for line in self.inner.format(record).splitlines())


def _is_the_journal(stream: Any) -> bool:
    """Tell whether the journal reads the stream (JOURNAL_STREAM in systemd.exec(5))."""
    try:
        state = os.fstat(stream.fileno())
    except (AttributeError, OSError, ValueError):
        return False
    return os.environ.get("JOURNAL_STREAM") == f"{state.st_dev}:{state.st_ino}"


def give_priorities(logger: logging.Logger) -> None:
    """Make the handlers of a logger that write to the journal tell it priorities."""
    for handler in logger.handlers:
        if (
            isinstance(handler, logging.StreamHandler)
            and not isinstance(handler.formatter, PriorityFormatter)
            and _is_the_journal(handler.stream)
        ):
            handler.setFormatter(PriorityFormatter(handler.formatter))


def give_all_priorities() -> None:
    """Do so for each logger that exists, and for what ends the process."""
    for logger in (logging.getLogger(), *logging.root.manager.loggerDict.values()):
        if isinstance(logger, logging.Logger):
            give_priorities(logger)


class Configurator(logging.config.DictConfigurator):
    """What logging.config.dictConfig() calls, and with it django.setup(): with priorities at its end."""

    def configure(self) -> None:
        """Configure."""
        super().configure()
        give_all_priorities()


def keep_priorities() -> None:
    """Give priorities now, and again whenever the project configures its logging."""
    logging.config.dictConfigClass = Configurator  # documented for this purpose
    give_all_priorities()


def report_uncaught() -> None:
    """Let the traceback that ends the process have the priority of an error."""
    if not _is_the_journal(sys.stderr):
        return
    handler = logging.StreamHandler()
    handler.setFormatter(PriorityFormatter(logging.Formatter("%(message)s")))
    logger = logging.Logger("uncaught")
    logger.addHandler(handler)
    sys.excepthook = lambda *error: logger.critical("Uncaught exception", exc_info=error)
