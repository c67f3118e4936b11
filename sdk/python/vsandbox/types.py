"""The nouns of the interface."""
import dataclasses
import enum
import time
import typing
import uuid


class ActionType(str, enum.Enum):
    FILE_READ = "file_read"
    FILE_WRITE = "file_write"
    FILE_DELETE = "file_delete"
    API_CALL = "api_call"
    DATABASE_QUERY = "database_query"
    DATABASE_WRITE = "database_write"
    CODE_EXECUTION = "code_execution"
    NETWORK_REQUEST = "network_request"


class KillSwitchMode(str, enum.Enum):
    ALERT = "alert"        # log and notify only
    PAUSE = "pause"        # halt the agent, await approval
    ROLLBACK = "rollback"  # reverse the last actions and halt


@dataclasses.dataclass(frozen=True)
class Decision:
    """decision is "allow", "pause" or "block"; risk_score is None when only this process decided."""
    decision: str
    reason: str
    risk_score: typing.Optional[float] = None
    risk_breakdown: dict = dataclasses.field(default_factory=dict)

    @property
    def allowed(self):
        return self.decision == "allow"


@dataclasses.dataclass
class Action:
    """One action that was done, and how to reverse it."""
    agent_id: str
    action_type: str
    resource: str = ""
    payload: typing.Optional[dict] = None
    rollback: typing.Optional[typing.Callable[["Action"], None]] = None
    session_id: typing.Optional[str] = None
    action_id: str = dataclasses.field(default_factory=lambda: str(uuid.uuid4()))
    timestamp: float = dataclasses.field(default_factory=time.time)


@dataclasses.dataclass(frozen=True)
class RollbackReport:
    """What a rollback did, newest action first.

    irreversible had no callback; failed is the action whose callback raised error: what is older was then left alone,
    because its callback would meet a state that it does not expect.
    """
    reversed: list
    irreversible: list
    failed: typing.Optional[Action] = None
    error: typing.Optional[BaseException] = None
