"""Stop when asked to: SIGTERM, SIGHUP and Ctrl-C are noted, and the loop saves at its next update before it exits."""

import signal
import threading
from types import FrameType, TracebackType
from typing import Any

STOPPING = [number for name in ("SIGTERM", "SIGINT", "SIGHUP") if (number := getattr(signal, name, None)) is not None]


class TrainingStopped(BaseException):
    """Training was asked to stop and has saved. Not an Exception: nothing should treat it as a failure.

    Attributes:
        status: by custom, 128 plus the signal's number: 143 for SIGTERM, 129 for SIGHUP (a closed terminal), 130 for
            Ctrl-C.
    """

    def __init__(self, number: int, message: str) -> None:
        super().__init__(message)
        self.status = 128 + number


class StopSignals:
    """While the `with` block runs, `received` holds the number of the signal that came. A second Ctrl-C exits at once.

    Only the main thread may install handlers; elsewhere signals are left as they are.
    """

    def __init__(self) -> None:
        self.received: int | None = None
        self._before: dict[int, Any] = {}

    def __enter__(self) -> "StopSignals":
        if threading.current_thread() is threading.main_thread():
            for number in STOPPING:
                if signal.getsignal(number) != signal.SIG_IGN:  # `nohup` has SIGHUP ignored, and means it
                    self._before[number] = signal.signal(number, self._note)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _note(self, number: int, frame: FrameType | None) -> None:
        if number == signal.SIGINT and self.received == signal.SIGINT:
            raise KeyboardInterrupt
        self.received = number
