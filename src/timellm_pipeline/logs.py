"""Safe log records: control characters in names and values are escaped, so that no file can forge a log line."""

import logging

from timellm_pipeline.errors import escape


class EscapeFilter(logging.Filter):
    """Escapes every control character of a record's message except line breaks, which tables contain."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Escape the message of the record in place. Returns True: no record is dropped."""
        record.msg, record.args = "\n".join(map(escape, record.getMessage().split("\n"))), None
        return True


def escape_in_all_handlers() -> None:
    """Add an `EscapeFilter` to each handler of the root logger that does not have one."""
    for handler in logging.getLogger().handlers:
        if not any(isinstance(existing, EscapeFilter) for existing in handler.filters):
            handler.addFilter(EscapeFilter())
