"""What options and arguments of several commands are made of."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import date
from typing import Any

import click

Command = Callable[..., None]


class Day(click.ParamType[Any]):
    """A day such as 2027-01-04; click's own DateTime gives a datetime, and tells of formats."""

    name = "day"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if not re.fullmatch(r"\d{4}-\d\d-\d\d", str(value), re.ASCII):
            self.fail(f"{value!r} is no day: write a day as 2027-01-04.", param, ctx)
        try:
            return date.fromisoformat(str(value))
        except ValueError as error:
            self.fail(f"there is no day {value!r}: {error}.", param, ctx)


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
    """*text*, which must name a CarePlan by its id; *hint* is where it was given. Raises BadParameter."""
    if not re.fullmatch(r"CarePlan/[A-Za-z0-9\-.]{1,64}", text):
        raise click.BadParameter(f"{text!r} names no plan: write it as CarePlan/34.", param_hint=hint)
    return text
