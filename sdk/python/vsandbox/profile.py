"""What the constructor's parameters allow, judged in this process."""
import collections
import fnmatch
import posixpath
import threading
import time

WINDOW_S = 60.0


def _word(action_type):
    return getattr(action_type, "value", action_type)


def _patterns(name, value):
    if value is None:
        return None
    if isinstance(value, str) or not all(isinstance(p, str) and p for p in value):
        raise ValueError(f"{name} is a list of patterns")
    return list(value)


def _spellings(resource):
    """A path is judged as it is written and as it is meant: /tmp/../etc/shadow is not below /tmp."""
    if not resource.startswith("/"):
        return {resource}
    # normpath keeps a double slash at the front
    return {resource, "/" + posixpath.normpath(resource).lstrip("/")}


class Profile:
    def __init__(self, allowed_action_types, allowed_resources, blocked_resources,
                 max_actions_per_minute, max_risk_score):
        if isinstance(allowed_action_types, str):
            raise ValueError("allowed_action_types is a list of action types")
        self.types = None if allowed_action_types is None else [_word(t) for t in allowed_action_types]
        self.allowed = _patterns("allowed_resources", allowed_resources)
        self.blocked = _patterns("blocked_resources", blocked_resources) or []
        if isinstance(max_actions_per_minute, bool) or not isinstance(max_actions_per_minute, int) \
                or max_actions_per_minute < 1:
            raise ValueError("max_actions_per_minute is a whole number from 1")
        self.rate = max_actions_per_minute
        self.max_risk = max_risk_score
        self._lock = threading.Lock()
        self._times = collections.deque()

    def after_fork(self):
        self._lock = threading.Lock()

    def violation(self, action_type, resource):
        """Why the lists forbid it, in the server's words; None: they do not."""
        spellings = _spellings(resource)
        if self.types is not None and action_type not in self.types:
            return f"Action type '{action_type}' is not allowed for this agent"
        if any(fnmatch.fnmatchcase(s, p) for p in self.blocked for s in spellings):
            return f"Resource '{resource}' is blocked for this agent"
        if self.allowed is not None and not all(
                any(fnmatch.fnmatchcase(s, p) for p in self.allowed) for s in spellings):
            return f"Resource '{resource}' is not allowed for this agent"
        return None

    def rate_violation(self, count):
        """Why one action more is too many in this minute; with count it is noted when it is not."""
        now = time.monotonic()
        with self._lock:
            while self._times and self._times[0] <= now - WINDOW_S:
                self._times.popleft()
            full = len(self._times) >= self.rate
            if count and not full:
                self._times.append(now)
        return f"More than {self.rate} actions in a minute" if full else None
