"""Parallel linear algebra: one thread for each task, several tasks at a time.

Products and factorisations of small matrices gain little from several threads, and lose much where threads wait for
each other on a busy machine. With one thread each, results also have the same bytes for every number of threads.
"""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TypeVar

import torch

MOST_THREADS = 4  # each needs memory for its task

Item = TypeVar("Item")
Result = TypeVar("Result")


@dataclass(frozen=True)
class Threads:
    """Threads that run tasks. PyTorch releases Python's lock in its operations.

    Attributes:
        pool: the threads; None: the calling thread runs each task.
        count: number of threads.
    """

    pool: ThreadPoolExecutor | None = None
    count: int = 1

    def map(self, function: Callable[[Item], Result], items: Sequence[Item]) -> Iterator[Result]:
        """Results in order. At most `count` tasks are started ahead, so that few results wait in memory."""
        for first in range(0, len(items), self.count):
            group = items[first : first + self.count]
            yield from map(function, group) if self.pool is None else self.pool.map(function, group)


@contextmanager
def one_thread_each() -> Iterator[Threads]:
    """As many threads as PyTorch uses threads, at most four, while PyTorch uses one."""
    threads = torch.get_num_threads()
    count = min(threads, MOST_THREADS)
    torch.set_num_threads(1)  # of the whole process, until the tasks are done
    try:
        with ThreadPoolExecutor(count, initializer=torch.set_num_threads, initargs=(1,)) as pool:
            yield Threads(pool, count)
    finally:
        torch.set_num_threads(threads)
