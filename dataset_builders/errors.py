"""What goes wrong, in two kinds: a mistake a person has to mend, and a row that is left out."""


def reason(error: BaseException) -> str:
    """Return an error's message in one line."""
    return " ".join(str(error).split()) or type(error).__name__


class UserError(Exception):
    """A mistake in a config or in the data: one line that says where, what, and what to do."""


def is_of_storage(error: BaseException) -> bool:
    """Tell whether a cloud's own client raised an error; such errors share no class, and the client may be absent."""
    return type(error).__module__.partition(".")[0] in ("botocore", "gcsfs", "google", "azure")


class Rejected(Exception):
    """A row that is left out and counted; the message is the reason, the same for all such rows."""
