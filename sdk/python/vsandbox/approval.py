"""Asking a person, through the server, with a key that may not decide itself.

The question belongs to a session of its own, because the session of the sandbox around this process takes its commands
elsewhere. That session exists as long as the question does.
"""
import os
import socket
import time
import uuid

from .errors import ServerError

POLL_S = 10


class Approval:
    def __init__(self, server, agent_id, mode, request):
        self._server = server
        self._agent = agent_id
        self._mode = mode
        self._request = request
        self._id = "sdk-" + uuid.uuid4().hex
        self._path = "/api/sessions/" + self._id

    def _report(self, state, **more):
        self._server.call("POST", "/api/sessions", {
            "id": self._id, "agent_id": self._agent, "host": socket.gethostname(), "state": state,
            "mode": self._mode, "info": {"sdk": "python", "pid": os.getpid(),
                                         "sandbox": os.environ.get("VSANDBOX_SESSION")}, **more})

    def _question(self, state):
        self._server.call("POST", self._path + "/approvals",
                          {"request_id": self._id, "state": state, "request": self._request})

    def _answer(self, command):
        """What the command decided, or None; every command gets its answer."""
        body = command["body"] or {}
        mine = command["kind"] == "answer" and body.get("request_id") == self._id
        result = {} if mine else "this program waits for an approval and does nothing else"
        self._server.call("POST", f"{self._path}/commands/{command['id']}", {"ok": mine, "result": result})
        return body if mine else None

    def wait(self, timeout):
        """("allowed" | "denied" | "expired", the person's reason or None). Raises ServerError."""
        self._report("paused")
        self._question("pending")
        deadline = time.monotonic() + timeout
        state, reason = "expired", None
        try:
            while state == "expired" and (left := deadline - time.monotonic()) > 0:
                poll = max(1, min(POLL_S, int(left)))
                for command in self._server.call("GET", f"{self._path}/commands?wait={poll}", extra_s=poll):
                    if body := self._answer(command):
                        state = "allowed" if body.get("decision") == "allow" else "denied"
                        reason = body.get("reason")
        finally:
            self._end(state)
        return state, reason

    def _end(self, state):
        """Closes the question. An answer that was given stands when the server cannot be told that it arrived."""
        try:
            if state == "expired":
                self._question("expired")
            self._report("ended", ended_at=time.strftime("%Y-%m-%dT%H:%M:%S.000000+00:00", time.gmtime()))
        except ServerError:
            if state == "expired":
                raise
