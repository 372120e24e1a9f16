"""Stop on SIGTERM, SIGHUP and Ctrl-C: the signal is recorded, and the loop saves after the current update and exits."""

import signal
import threading
from types import FrameType, TracebackType
from typing import Any

from timellm_pipeline.workers.group import WorkerGroup

STOPPING = [number for name in ("SIGTERM", "SIGINT", "SIGHUP") if (number := getattr(signal, name, None)) is not None]


class StoppedBySignal(BaseException):
    """A signal stopped training, and a checkpoint was saved. Not an Exception, so that it is not handled as a failure.

    Attributes:
        status: by convention, 128 plus the signal number: 143 for SIGTERM, 129 for SIGHUP (a closed terminal), 130 for
            Ctrl-C.
    """

    def __init__(self, number: int, message: str) -> None:
        super().__init__(message)
        self.status = 128 + number


class StopSignals:
    """Within the `with` block, `received` is the number of the signal received, or None. A second Ctrl-C exits at once.

    Only the main thread may install handlers; in other threads the handlers are not changed.
    """

    def __init__(self) -> None:
        self.received: int | None = None
        self._previous: dict[int, Any] = {}

    def __enter__(self) -> "StopSignals":
        if threading.current_thread() is threading.main_thread():
            for number in STOPPING:
                if signal.getsignal(number) != signal.SIG_IGN:  # `nohup` ignores SIGHUP on purpose
                    self._previous[number] = signal.signal(number, self._record)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)

    def agree(self, group: WorkerGroup) -> None:
        """All workers of a group get the signal that any of them received. All workers must call it.

        A worker whose parent process has ended stops too: nobody would wait for it.
        """
        if group.is_orphan:
            self.received = self.received or signal.SIGTERM
        self.received = next((number for number in group.gather(self.received) if number is not None), None)

    def _record(self, number: int, frame: FrameType | None) -> None:
        if number == signal.SIGINT and self.received == signal.SIGINT:
            raise KeyboardInterrupt
        self.received = number
