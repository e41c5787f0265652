"""`rabbit template check`: what a model's chat template keeps of what this project promises."""

from typing import Annotated

import typer

from rabbit_ko.cli.app import AsJson, app, is_debugging
from rabbit_ko.terminal import Terminal, say_json, silence

template_app = typer.Typer()
app.add_typer(template_app, name="template")


@template_app.callback()
def template() -> None:
    """Look at chat templates: `rabbit template check MODEL`."""


@template_app.command()
def check(
    model: Annotated[str, typer.Argument(metavar="MODEL", help="a folder with a tokenizer, or a model on the hub")],
    template: Annotated[
        str, typer.Option(metavar="NAME|FILE", help="axolotl's name of one, or a file; the tokenizer's own otherwise")
    ] = "",
    eos_token: Annotated[
        str, typer.Option(metavar="TOKEN", help="as `special_tokens:` of the stage's YAML has it")
    ] = "",
    as_json: AsJson = False,
) -> None:
    """Say what a chat template keeps of what is promised, before `native` trains in it.

    Each promise with what was seen: the end of a turn and whether generation stops there, BOS, stable prefixes, white
    space, system prompts, roles, tools and reasoning, and whether text can fake a turn; then rows as they would be
    trained. It is what the guard checks before a run. Needs no weights and runs no code of the model. Exits with 1
    where a promise is broken.

    Example: `rabbit template check Qwen/Qwen3-4B`, or `rabbit template check runs/smoke/base --template llama3`
    """
    silence(is_debugging())
    from rabbit_ko.inspection.template_check import as_json as to_json
    from rabbit_ko.inspection.template_check import check_model_template, count_broken, print_report

    with Terminal(stderr=True).status("rendering"):
        tokenizer, findings = check_model_template(model, template, eos_token)
    if as_json:
        say_json({"model": model, "template": template} | to_json(tokenizer, findings), indent=1)
    else:
        print_report(Terminal(), tokenizer, findings)
    raise typer.Exit(bool(count_broken(findings)))
