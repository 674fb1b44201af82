"""What options and arguments of several commands are made of."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import click

Command = Callable[..., None]


class Day(click.DateTime):
    """A day such as 2026-01-05; click's own type gives a datetime."""

    def __init__(self) -> None:
        super().__init__(["%Y-%m-%d"])

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        return super().convert(value, param, ctx).date()


def together(*options: Callable[[Command], Command]) -> Callable[[Command], Command]:
    """Several options as one decorator; --help lists them in this order."""

    def decorate(command: Command) -> Command:
        for option in reversed(options):
            command = option(command)
        return command

    return decorate


source_argument = click.argument("source", metavar="INPUT", type=click.File("rb"))
fhir_option = click.option(
    "--fhir", "fhir_base", metavar="URL", help="The FHIR R4 server. Default: CAREPLAN_FHIR_BASE."
)


def careplan_reference(text: str, hint: str) -> str:
    """*text*, which must be CarePlan/ID; *hint* is where it was given. Raises BadParameter."""
    if not re.fullmatch(r"CarePlan/[A-Za-z0-9\-.]{1,64}", text):
        raise click.BadParameter("write CarePlan/ID.", param_hint=hint)
    return text
