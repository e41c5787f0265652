"""`rabbit doctor`: what this machine has for training, and what is wrong with it."""

import typer

from rabbit_ko.cli.app import AsJson, app, is_debugging
from rabbit_ko.terminal import say, say_json


@app.command()
def doctor(as_json: AsJson = False) -> None:
    """Say in ten lines what this machine has for training, and what is wrong with it.

    Versions of Python, axolotl, torch and DeepSpeed; the NVIDIA driver, GPUs and their memory; the attention that
    `auto` takes; free disk and memory. Exits with 1 where something is wrong, with what to do. Writes nothing.

    Example: `rabbit doctor`
    """
    from rabbit_ko.terminal import silence

    silence(is_debugging())
    from rabbit_ko.training.machine import examine

    findings = examine()
    if as_json:
        say_json([finding.to_json() for finding in findings], indent=2)
    else:
        say(*findings)
    raise typer.Exit(any(finding.wrong for finding in findings))
