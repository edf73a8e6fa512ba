"""The errors a user can cause: one line that names the file or key, what is wrong and what to do."""


class UsodError(Exception):
    """The work failed for a reason the user can mend; the message is the one line to show (exit code 1)."""


class UsageError(UsodError):
    """The call or the configuration is wrong (exit code 2)."""
