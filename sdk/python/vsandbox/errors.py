"""What a caller may have to catch."""


class VaultakError(Exception):
    """The root of all that this package raises on its own account."""


class ServerError(VaultakError):
    """The server refused or could not be reached. status is 0 when there was no answer."""

    def __init__(self, message, status=0):
        super().__init__(message)
        self.status = status


class ActionBlocked(VaultakError):
    """The action must not be done. decision says why."""

    def __init__(self, decision):
        super().__init__(decision.reason)
        self.decision = decision


class ActionPaused(ActionBlocked):
    """The agent is halted and nobody allowed it to go on, in the time that was given."""


class ActionDenied(ActionPaused):
    """A person said no."""


class ActionRolledBack(ActionPaused):
    """The last actions were reversed and the agent is halted until resume(). report says which."""

    def __init__(self, decision, report):
        super().__init__(decision)
        self.report = report
