"""The command line: one file for each command of `careplan --help`, and what they share.

Each reads, asks `planning` and its neighbours, and prints. Heavy modules are imported where they are needed.
"""

from __future__ import annotations

import click

from careplan import __version__
from careplan.cli import (
    audit,
    check,
    demo,
    doctor,
    dosage,
    follow,
    outbox,
    plan,
    post,
    profiles,
    read,
    sandbox,
    serve,
)


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, message="careplan %(version)s")
def main() -> None:
    """Read what a patient takes from FHIR R4, and draft a taper in tablets that exist.

    \b
    Start here:
      careplan demo                 the service with synthetic patients, on this machine
      careplan plan patient.json    a plan from a file, nothing else needed
      careplan read patient.json    what is understood of that file, and what is not
      careplan check resource.json  whether any R4 resource is valid
      careplan doctor URL           what a FHIR server lets the service do

    Plans are drafts. Nobody should take them before a prescriber has checked and signed them.
    """


for _command in (
    audit.audit,
    check.check,
    demo.demo,
    doctor.doctor,
    dosage.dosage,
    follow.follow,
    outbox.outbox,
    plan.plan,
    post.post,
    profiles.profiles,
    read.read,
    sandbox.sandbox,
    serve.serve,
):
    main.add_command(_command)
