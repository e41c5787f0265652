"""`python -m rabbit_ko.serving.beside PID COMMAND...`: a command that Linux ends when its parent, PID, ends."""

import ctypes
import os
import signal
import sys

PR_SET_PDEATHSIG = 1


def main() -> None:
    """Ask the system for an end with the parent, and become the command, unless the parent is gone already."""
    parent, *command = sys.argv[1:]
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
    if os.getppid() != int(parent):
        return
    try:
        os.execvp(command[0], command)
    except OSError as error:
        sys.exit(f"error: {command[0]}: cannot be started: {error.strerror}")


if __name__ == "__main__":
    main()
