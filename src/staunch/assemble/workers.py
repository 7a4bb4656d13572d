"""Threads that compress, inflate and hash while others read; the bytes never depend on them."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor
from threading import Event, Lock
from typing import TypeVar

__all__ = ["Lane", "Workers"]

T = TypeVar("T")


class Workers:
    """A bounded pool; with one thread all runs in the caller's."""

    def __init__(self, threads: int) -> None:
        """At most ``threads`` threads, started when first needed."""
        self._pool = ThreadPoolExecutor(threads, "staunch-encode") if threads > 1 else None
        self._stopped = Event()

    def submit(self, work: Callable[[], T]) -> Future[T]:
        """Run ``work`` soon, or now; CancelledError after ``stop``."""
        if self._stopped.is_set():
            raise CancelledError
        if self._pool is not None:
            return self._pool.submit(work)
        done: Future[T] = Future()
        done.set_result(work())
        return done

    def stop(self) -> None:
        """Let no new work begin: others waste no time after a failure or Ctrl-C."""
        self._stopped.set()

    def close(self) -> None:
        """Wait for what runs and end the threads."""
        if self._pool is not None:
            self._pool.shutdown(cancel_futures=True)


class Lane:
    """Work that must run piece by piece, in order (a running hash), on the workers' threads.

    One thread at most works on a lane at a time, so what its pieces share needs no lock.
    """

    def __init__(self, workers: Workers) -> None:
        """A lane of its own on ``workers``."""
        self._workers = workers
        self._waiting: deque[tuple[Callable[[], None], Future[None]]] = deque()
        self._running = False
        self._lock = Lock()

    def submit(self, work: Callable[[], None]) -> Future[None]:
        """Run ``work`` after all that was submitted before; its failure is the future's."""
        future: Future[None] = Future()
        with self._lock:
            self._waiting.append((work, future))
            idle, self._running = not self._running, True
        if idle:
            self._workers.submit(self._run)
        return future

    def _run(self) -> None:
        while True:
            with self._lock:
                if not self._waiting:
                    self._running = False
                    return
                work, future = self._waiting.popleft()
            try:
                future.set_result(work())
            except BaseException as error:  # noqa: BLE001 - told to whoever waits for the future
                future.set_exception(error)
