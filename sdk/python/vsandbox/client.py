"""Vaultak: the client."""
import atexit
import collections
import contextlib
import contextvars
import datetime
import logging
import os
import threading
import uuid
import urllib.parse
import weakref

from .approval import Approval
from .errors import ActionBlocked, ActionDenied, ActionPaused, ActionRolledBack, ServerError
from .http import Server
from .outbox import Outbox
from .profile import Profile
from .types import Action, ActionType, Decision, KillSwitchMode, RollbackReport

log = logging.getLogger("vsandbox")
DEFAULT_ENDPOINT = "http://127.0.0.1:7878"  # where vsandbox-serve listens
UNSET = object()  # a parameter that was left out: the server's profile keeps its own value
HISTORY_MAX = 1000

# (agent, session) of the monitor() block that a thread or task is in
_current = contextvars.ContextVar("vsandbox_monitor", default=None)
_clients = weakref.WeakSet()


def _after_fork():
    for client in list(_clients):
        client._after_fork()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


def _share(name, value):
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value <= 1:
        raise ValueError(f"{name} is a number from 0 to 1")
    return float(value)


def _exit(reference):
    client = reference()
    if client is not None:
        client.close()


class Vaultak:
    """One agent's connection to the control plane; safe for threads and across fork.

    What check() and action() are asked about has not happened yet and can be stopped. log_action() tells of what was
    done; a violation is then answered as mode says. Lists, rate and scores are judged here and, once monitor() has sent
    what was given as the agent's profile, by the server and every sandbox of the agent.
    """

    def __init__(self, api_key=None, mode=UNSET, allowed_action_types=UNSET, allowed_resources=UNSET,
                 blocked_resources=UNSET, max_actions_per_minute=UNSET, max_risk_score=UNSET,
                 risk_threshold=0.7, rollback_limit=5, *, api_endpoint=None, agent_id=None,
                 approval_timeout=300.0, on_violation=None, timeout=10.0, queue_size=10000,
                 exit_timeout=5.0):
        api_key = api_key or os.environ.get("VSANDBOX_API_KEY")
        if not api_key:
            raise ValueError("api_key is missing, and so is VSANDBOX_API_KEY")
        given = {"allowed_action_types": allowed_action_types, "allowed_resources": allowed_resources,
                 "blocked_resources": blocked_resources, "max_actions_per_minute": max_actions_per_minute,
                 "max_risk_score": max_risk_score}
        given = {k: v for k, v in given.items() if v is not UNSET}
        if "max_risk_score" in given:
            given["max_risk_score"] = _share("max_risk_score", given["max_risk_score"])
        if isinstance(rollback_limit, bool) or not isinstance(rollback_limit, int) or rollback_limit < 0:
            raise ValueError("rollback_limit is a whole number from 0")
        self.mode = KillSwitchMode.ALERT if mode is UNSET else KillSwitchMode(mode)
        self.risk_threshold = _share("risk_threshold", risk_threshold)
        self.rollback_limit = rollback_limit
        self._profile = Profile(**{"allowed_action_types": None, "allowed_resources": None,
                                   "blocked_resources": None, "max_actions_per_minute": 60,
                                   "max_risk_score": 1.0, **given})
        if self._profile.types is not None:
            self._profile.types = [ActionType(t).value for t in self._profile.types]
            given["allowed_action_types"] = self._profile.types
        self._given = given
        self._mode_given = mode is not UNSET
        self._agent = agent_id
        self._server = Server(api_endpoint or os.environ.get("VAULTAK_API_URL") or DEFAULT_ENDPOINT,
                              api_key, timeout)
        self._approval_timeout = approval_timeout
        self._on_violation = on_violation
        self._exit_timeout = exit_timeout
        self._undo = {}
        self._done = collections.deque(maxlen=HISTORY_MAX)
        self._halted = None
        self._lock = threading.RLock()
        self._outbox = Outbox(self._server, queue_size, self._answered)
        _clients.add(self)
        atexit.register(_exit, weakref.ref(self))

    def _after_fork(self):
        self._lock = threading.RLock()
        self._profile.after_fork()
        self._outbox.after_fork()

    # ---- the session

    @contextlib.contextmanager
    def monitor(self, agent_id=None):
        """Ties what the block checks and logs to the agent and to one session: the sandbox's, inside a sandbox.

        First makes what the constructor was given the agent's profile; raises ServerError when the server refuses.
        """
        agent = agent_id or self._agent
        if not agent:
            raise ValueError("monitor() needs the agent's id")
        self.sync_profile(agent)
        inside = os.environ.get("VSANDBOX") == "1"
        session = os.environ.get("VSANDBOX_SESSION") if inside else None
        session = session or str(uuid.uuid4())
        token = _current.set((agent, session))
        try:
            yield self
        finally:
            _current.reset(token)
            if not self.flush(self._exit_timeout):
                log.warning("%d actions still wait to be sent", self._outbox.pending())

    def sync_profile(self, agent_id):
        """Makes the parameters that were given the server's profile of the agent; the others stay as they are there."""
        path = "/api/agents/" + urllib.parse.quote(agent_id, safe="")
        if self._given or self._mode_given:
            self._server.call("PATCH", path + "/profile", self._given)
        if self._mode_given:
            self._server.call("PATCH", path, {"kill_switch_mode": self.mode.value})

    def _whose(self, agent_id):
        agent, session = _current.get() or (self._agent, os.environ.get("VSANDBOX_SESSION"))
        agent = agent_id or agent
        if not agent:
            raise ValueError("no agent: give agent_id, or call inside monitor()")
        return agent, session

    # ---- before the action

    def check(self, action_type, resource="", payload=None, agent_id=None):
        """What would be decided on the action; nothing is logged. Raises ServerError when nobody could decide."""
        kind = ActionType(action_type).value
        agent, _ = self._whose(agent_id)
        with self._lock:
            if self._halted:
                return self._halted
        reason = self._profile.violation(kind, resource)
        if reason:
            return Decision("block", reason)
        return self._own_limits(self._ask_server(agent, kind, resource, payload),
                                self._profile.rate_violation(count=False))

    def _ask_server(self, agent, kind, resource, payload):
        answer = self._server.call("POST", "/api/check", {
            "agent_id": agent, "action_type": kind, "resource": resource, "payload": payload or {}})
        return Decision(answer["decision"], answer["reason"], answer["risk_score"],
                        answer["risk_breakdown"])

    def _own_limits(self, decision, reason):
        """The server's decision, made stricter by what only this process knows."""
        if decision.decision == "block":
            return decision
        risk, detail = decision.risk_score, decision.risk_breakdown
        if risk > self._profile.max_risk:
            return Decision("block", f"Risk score {risk:.2f} exceeds this agent's maximum of "
                                     f"{self._profile.max_risk:.2f}", risk, detail)
        if not reason and risk >= self.risk_threshold:
            reason = f"Risk score {risk:.2f} reaches the threshold of {self.risk_threshold:.2f}"
        word = {KillSwitchMode.ALERT: "allow", KillSwitchMode.PAUSE: "pause",
                KillSwitchMode.ROLLBACK: "block"}[self.mode]
        if reason and word != decision.decision and word != "allow":
            return Decision(word, reason, risk, detail)
        if reason and decision.allowed:
            return Decision("allow", reason, risk, detail)
        return decision

    @contextlib.contextmanager
    def action(self, action_type, resource="", payload=None, agent_id=None, rollback=None):
        """Asks before the block and logs after it.

        Raises ActionBlocked when it must not run, and waits for a person when the decision is to pause: ActionDenied or
        ActionPaused is raised unless one allowed it. A block that raises may have done half; it is logged too.
        """
        decision = self.check(action_type, resource, payload, agent_id)
        kind = ActionType(action_type).value
        agent, session = self._whose(agent_id)
        done = Action(agent, kind, resource, payload, rollback, session)
        if decision.decision == "pause":
            self._ask(done, decision)
        elif decision.decision != "allow":
            self._queue(done, "BLOCK", decision)
            self._notify(done, decision)
            raise ActionBlocked(decision)
        try:
            yield decision
        finally:
            self._profile.rate_violation(count=True)
            self._remember(done)
            self._queue(done, None, decision)

    # ---- after the action

    def log_action(self, action_type, resource="", payload=None, agent_id=None, rollback=None):
        """Tells of an action that was done; answers the Decision on it.

        rollback(action) reverses it. On a violation ALERT notifies; PAUSE waits for a person and raises ActionDenied or
        ActionPaused unless one allowed to go on; ROLLBACK reverses the last rollback_limit actions, this one first,
        and raises ActionRolledBack. Both raise ServerError when the server cannot be asked.
        """
        kind = ActionType(action_type).value
        agent, session = self._whose(agent_id)
        done = Action(agent, kind, resource, payload, rollback, session)
        with self._lock:
            halted = self._halted
        reason = self._profile.violation(kind, resource) or self._profile.rate_violation(count=True)
        self._remember(done)
        if halted:
            self._queue(done, "PAUSE", halted)
            raise ActionPaused(halted)
        if self.mode is KillSwitchMode.ALERT:
            decision = Decision("block" if reason else "allow", reason or "Allowed")
            self._queue(done, "ALERT" if reason else None, decision)
            if reason:
                self._notify(done, decision)
            return decision
        try:
            decision = Decision("block", reason) if reason else \
                self._own_limits(self._ask_server(agent, kind, resource, payload), None)
        except ServerError:
            self._queue(done, None, None)
            raise
        if decision.allowed:
            self._queue(done, None, decision)
            return decision
        self._respond(done, decision)
        return decision

    def _respond(self, done, decision):
        self._notify(done, decision)
        if self.mode is KillSwitchMode.ROLLBACK:
            self._queue(done, "ROLLBACK", decision)
            report = self.rollback(self.rollback_limit)
            self.halt(decision.reason)
            raise ActionRolledBack(decision, report)
        self._ask(done, decision, "PAUSE")

    def _ask(self, done, decision, log_as=None):
        """Returns when a person allowed it."""
        if log_as:
            self._queue(done, log_as, decision)
        request = {"action_type": done.action_type, "resource": done.resource, "payload": done.payload,
                   "reason": decision.reason, "risk_score": decision.risk_score,
                   "session_id": done.session_id, "done": log_as is not None}
        state, reason = Approval(self._server, done.agent_id, self.mode.value,
                                 request).wait(self._approval_timeout)
        if state == "allowed":
            return
        if not log_as:
            self._queue(done, "BLOCK", decision)
        if state == "denied":
            self.halt(f"A person denied: {reason or decision.reason}")
            raise ActionDenied(self._halted)
        raise ActionPaused(Decision("pause", f"Nobody answered in time: {decision.reason}",
                                    decision.risk_score, decision.risk_breakdown))

    def _notify(self, done, decision):
        log.warning("%s %s of %s: %s", done.action_type, done.resource, done.agent_id, decision.reason)
        if self._on_violation:
            self._on_violation(done, decision)

    def _queue(self, done, word, decision):
        at = datetime.datetime.fromtimestamp(done.timestamp, datetime.timezone.utc)
        row = {"agent_id": done.agent_id, "action_type": done.action_type, "resource": done.resource,
               "payload": done.payload or {}, "session_id": done.session_id, "action_id": done.action_id,
               "timestamp": at.isoformat(timespec="microseconds"), "source": "python-sdk"}
        if word:
            row.update(decision=word, flagged=True, flag_reason=decision.reason)
        self._outbox.put(row)

    def _answered(self, row, answer):
        """In the sending thread: what the server made of an action that was logged without asking first."""
        risk = answer["risk_score"]
        if "decision" in row or self.mode is not KillSwitchMode.ALERT:
            return
        if risk < self.risk_threshold and not answer["flagged"]:
            return
        reason = answer["flag_reason"] or \
            f"Risk score {risk:.2f} reaches the threshold of {self.risk_threshold:.2f}"
        done = Action(row["agent_id"], row["action_type"], row["resource"], row["payload"],
                      session_id=row["session_id"], action_id=row["action_id"])
        try:
            self._notify(done, Decision("allow", reason, risk, answer["risk_breakdown"]))
            if not answer["flagged"]:
                self._server.call("POST", "/api/alerts", {
                    "agent_id": row["agent_id"], "message": f"{reason}: {row['action_type']} "
                    f"{row['resource']}", "severity": "high", "source": "python-sdk"})
        except Exception:  # a caller's callback must not end the thread that sends
            log.exception("the notice of a violation failed")

    # ---- rollback

    def on_rollback(self, action_type, callback=None):
        """Registers callback(action) for actions of the type that were logged without one; also a decorator."""
        if callback is None:
            return lambda f: self.on_rollback(action_type, f)
        self._undo[ActionType(action_type).value] = callback
        return callback

    def _remember(self, done):
        with self._lock:
            self._done.append(done)

    def rollback(self, count=None):
        """Reverses the last count actions (rollback_limit without it), newest first. Answers a RollbackReport."""
        count = self.rollback_limit if count is None else count
        undone, left = [], []
        with self._lock:
            for _ in range(min(count, len(self._done))):
                act = self._done[-1]
                callback = act.rollback or self._undo.get(act.action_type)
                if callback is None:
                    left.append(self._done.pop())
                    continue
                try:
                    callback(act)
                except Exception as error:
                    log.exception("%s %s could not be reversed", act.action_type, act.resource)
                    return RollbackReport(undone, left, act, error)
                undone.append(self._done.pop())
                self._queue_reversal(act)
        if left:
            log.warning("%d actions have no rollback callback and stay done", len(left))
        return RollbackReport(undone, left)

    def _queue_reversal(self, act):
        self._outbox.put({"agent_id": act.agent_id, "action_type": "rollback", "resource": act.resource,
                          "payload": {"action_id": act.action_id, "action_type": act.action_type},
                          "session_id": act.session_id, "action_id": str(uuid.uuid4()),
                          "source": "python-sdk"})

    def halt(self, reason):
        """From now on check() blocks, action() and log_action() raise, until resume()."""
        with self._lock:
            self._halted = Decision("block", f"Agent is halted: {reason}")

    def resume(self):
        with self._lock:
            self._halted = None

    # ---- the end

    def flush(self, timeout=10.0):
        """Whether the server took all that was logged, within timeout seconds."""
        return self._outbox.flush(timeout)

    def close(self):
        """Sends what is left, for at most exit_timeout seconds; what is lost is counted. Called at exit too."""
        return self._outbox.close(self._exit_timeout)

    def stats(self):
        """Counts of actions: sent, pending, dropped (no room, or no time at the end), rejected by the server."""
        box = self._outbox
        return {"sent": box.sent, "pending": box.pending(), "dropped": box.dropped,
                "rejected": box.rejected}
