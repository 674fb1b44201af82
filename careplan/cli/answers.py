"""How commands answer: on standard output in JSON or text, with an exit status that says how it went."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import IO, Any

import click

from careplan.cli import environment

Resource = dict[str, Any]

FAILED, WRONG_INPUT, REFUSED = 1, 2, 3


def answer_each(source: IO[bytes], work: Callable[[Sequence[Resource]], Resource | str]) -> int:
    """Answer each document on a line of its own; the exit status. One bad line does not stop the others."""
    from careplan.documents import read_documents, resources_in

    documents = read_documents(source)
    endings = {answer(lambda text=text: work(resources_in(text))) for text in documents.texts}  # type: ignore[misc]
    if FAILED in endings:
        return FAILED
    return REFUSED if documents.by_line and endings - {0} else max(endings, default=0)


def answer(work: Callable[[], Resource | str]) -> int:
    """Print what *work* gives, as JSON unless it is text, or why it gives nothing; the exit status."""
    from careplan.errors import BadRequest, CareplanError, Refused
    from careplan.fhir import json
    from careplan.fhir.outcome import outcome

    try:
        said = work()
        click.echo(said if isinstance(said, str) else json.dumps(said))
    except NothingWritten as nothing:
        click.echo(json.dumps(nothing.answer))
        click.echo("Error: this server takes a plan in no way; nothing was written.", err=True)
        return FAILED
    except CareplanError as error:
        said = outcome(error, canonical_base=environment.settings().canonical_base)
        click.echo(json.dumps(said))
        if isinstance(error, Refused):
            return REFUSED
        more = " What the server itself says is on standard output." if len(said["issue"]) > 1 else ""
        click.echo(f"Error: {error.message}{more}", err=True)
        return WRONG_INPUT if isinstance(error, BadRequest) else FAILED
    return 0


class NothingWritten(Exception):
    """The server takes a plan in no way; *answer* holds it."""

    def __init__(self, answer: Resource) -> None:
        super().__init__("nothing was written")
        self.answer = answer
