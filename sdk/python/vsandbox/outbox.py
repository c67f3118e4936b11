"""Actions on their way to the server: a bounded queue and one thread that sends batches."""
import collections
import logging
import threading
import time

from .errors import ServerError

log = logging.getLogger("vsandbox")
BATCH = 200


class Outbox:
    """on_answer(row, answer) is called in the sending thread for every row that the server took."""

    def __init__(self, server, capacity, on_answer):
        self._server = server
        self._capacity = capacity
        self._on_answer = on_answer
        self._reset()

    def _reset(self):
        self._changed = threading.Condition()
        self._stop = threading.Event()
        self._rows = collections.deque()
        self._sending = 0
        self._thread = None
        self.sent = self.dropped = self.rejected = 0

    def after_fork(self):
        """In a child: what the parent queued the parent sends; its thread is not here."""
        self._reset()

    def put(self, row):
        with self._changed:
            if self._stop.is_set() or len(self._rows) + self._sending >= self._capacity:
                self.dropped += 1
                if self.dropped == 1:
                    log.error("the queue of actions is full or closed: actions are lost from now on")
                return
            self._rows.append(row)
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="vsandbox-outbox", daemon=True)
                self._thread.start()
            self._changed.notify_all()

    def flush(self, timeout):
        """Whether everything was answered within timeout seconds."""
        deadline = time.monotonic() + timeout
        with self._changed:
            while self._rows or self._sending:
                left = deadline - time.monotonic()
                if left <= 0 or self._thread is None:
                    return False
                self._changed.wait(left)
        return True

    def close(self, timeout):
        done = self.flush(timeout)
        with self._changed:
            self._stop.set()
            lost = len(self._rows) + self._sending
            self.dropped += lost
            self._rows.clear()
            self._changed.notify_all()
        if lost:
            log.error("%d actions were not sent: the server did not take them in time", lost)
        return done

    def pending(self):
        with self._changed:
            return len(self._rows) + self._sending

    def _take(self):
        with self._changed:
            while not self._rows and not self._stop.is_set():
                self._changed.wait()
            batch = [self._rows.popleft() for _ in range(min(BATCH, len(self._rows)))]
            self._sending = len(batch)
            return batch

    def _run(self):
        while True:
            batch = self._take()
            if not batch:
                return
            self._send(batch)
            with self._changed:
                self._sending = 0
                self._changed.notify_all()

    def _reject(self, batch, error):
        with self._changed:
            self.rejected += len(batch)
        log.error("%d actions were refused by the server: %s", len(batch), error)

    def _send(self, batch):
        """Until the server answered or the outbox is closed; the server knows a row that it took already by its id."""
        while not self._stop.is_set():
            try:
                answers = self._server.call("POST", "/api/actions", batch, tries=8, stop=self._stop)
            except ServerError as error:
                if error.status in (0, 429) or error.status >= 500:
                    log.warning("%s; %d actions wait", error, len(batch))
                    continue
                if error.status in (401, 403) or len(batch) == 1:
                    return self._reject(batch, error)
                # one bad row must not take the others along
                half = len(batch) // 2
                self._send(batch[:half])
                return self._send(batch[half:])
            with self._changed:
                self.sent += len(batch)
            for row, answer in zip(batch, answers):
                self._on_answer(row, answer)
            return None
        return None
