"""Mistakes a user can mend.

Each message is one sentence (or two) that names the file or the key and says what to do. The command line prints it
and exits with status 2; a library user catches `AesopError`.
"""

import re
import signal


class AesopError(Exception):
    """Base of every error that the user, not the programmer, can mend."""

    def __str__(self) -> str:
        # A path in the message may hold bytes that are not UTF-8: they print as \\xe9 and the like. `Path` drops
        # a slash of addresses.
        text = super().__str__().encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
        return re.sub(r"\bhf:/(?!/)", "hf://", text)


class RecipeError(AesopError):
    """A recipe, or an override of one, that cannot be trained."""


class DataError(AesopError):
    """Pictures that are missing, unreadable, too small or do not pair."""


class ModelError(AesopError):
    """A model file that is missing, corrupt, of another architecture or of another scale."""


class RunError(AesopError):
    """A run folder that belongs to another recipe, or cannot be written or resumed."""


class MissingExtraError(AesopError):
    """A feature whose optional dependencies are not installed."""

    def __init__(self, feature: str, extra: str) -> None:
        super().__init__(f"{feature} needs packages that are not installed; run: pip install 'aesop-sr[{extra}]'")


class Interrupted(Exception):  # noqa: N818 - not an error
    """Training stopped on a signal, after writing a checkpoint."""

    def __init__(self, signum: int, iteration: int) -> None:
        super().__init__(f"stopped by {signal.Signals(signum).name} after iteration {iteration}")
        self.signum = signum
