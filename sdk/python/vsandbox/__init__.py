"""Client of the vsandbox control plane. Start with Vaultak; README.md has examples."""
from .client import Vaultak
from .errors import (ActionBlocked, ActionDenied, ActionPaused, ActionRolledBack, ServerError,
                     VaultakError)
from .types import Action, ActionType, Decision, KillSwitchMode, RollbackReport

__all__ = [
    "Action", "ActionBlocked", "ActionDenied", "ActionPaused", "ActionRolledBack", "ActionType",
    "Decision", "KillSwitchMode", "RollbackReport", "ServerError", "Vaultak", "VaultakError",
]
