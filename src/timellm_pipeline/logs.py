"""Log lines that nothing from a file can forge: control characters in names and values are shown escaped."""

import logging

from timellm_pipeline.errors import escape


class EscapeFilter(logging.Filter):
    """Keeps line breaks (tables have them) and escapes every other control character of a record's message."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Rewrite the message; every record passes."""
        record.msg, record.args = "\n".join(map(escape, record.getMessage().split("\n"))), None
        return True


def escape_in_all_handlers() -> None:
    """Add the filter to the root logger's handlers, once each."""
    for handler in logging.getLogger().handlers:
        if not any(isinstance(one, EscapeFilter) for one in handler.filters):
            handler.addFilter(EscapeFilter())
