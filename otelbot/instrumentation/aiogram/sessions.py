"""Sessions: updates of one user without a long gap between them, in bounded memory."""

from __future__ import annotations

import threading
from collections import OrderedDict
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

#: Users that are remembered, about 300 bytes each; past it the one who was last seen longest ago is forgotten.
_MOST_USERS = 10_000


@dataclass
class Session:
    """One user's: when its first and last update came, in seconds by `time.monotonic()`, and their number."""

    first: float
    last: float
    updates: int = 1


class Sessions:
    """The sessions that go on. May be used from any thread.

    :param gap: seconds without an update after which a session has ended.
    :param began: called with the user's hash.
    :param ended: called with the user's hash, the session and why it has ended.
    """

    def __init__(
        self, gap: float, began: Callable[[str], object], ended: Callable[[str, Session, str], object]
    ) -> None:
        self._gap = gap
        self._began = began
        self._ended = ended
        self.after_fork_in_child()

    def after_fork_in_child(self) -> None:
        """Begin anew: those that go on are the parent's."""
        self._lock = threading.Lock()
        self._sessions: OrderedDict[str, Session] = OrderedDict()  # in the order in which the users were last seen

    def __len__(self) -> int:
        return len(self._sessions)

    def seen(self, user: str, now: float) -> None:
        """Note an update of a user."""
        session = self._sessions.get(user)
        if session is not None and now - session.last < self._gap:
            session.last = now
            session.updates += 1
            try:  # noqa: SIM105 - `suppress` takes a microsecond
                self._sessions.move_to_end(user)
            except KeyError:  # it is being ended by another thread
                pass
            return
        over: list[tuple[str, Session, str]] = []
        with self._lock:
            if session is not None and self._sessions.pop(user, None) is not None:
                over.append((user, session, "gap"))
            self._sessions[user] = Session(now, now)
            if len(self._sessions) > _MOST_USERS:
                over.append((*self._sessions.popitem(last=False), "evicted"))
        for each in over:
            self._ended(*each)
        self._began(user)

    def sweep(self, now: float) -> None:
        """End the sessions whose gap has passed."""
        for user, session in self._take(lambda oldest: now - oldest.last >= self._gap):
            self._ended(user, session, "gap")

    def end_all(self) -> None:
        """End all, because the bot stops."""
        for user, session in self._take(lambda _oldest: True):
            self._ended(user, session, "shutdown")

    def _take(self, is_over: Callable[[Session], bool]) -> Iterator[tuple[str, Session]]:
        while True:
            with self._lock:
                user = next(iter(self._sessions), None)
                if user is None or not is_over(self._sessions[user]):
                    return
                session = self._sessions.pop(user)
            yield user, session
