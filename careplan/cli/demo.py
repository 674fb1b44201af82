"""`careplan demo`: the service with something to look at."""

from __future__ import annotations

import click

from careplan.cli import environment


@click.command(
    short_help="Try it: the service with synthetic patients, on this machine.",
    epilog="""\b
Examples:
  careplan demo
  careplan demo --port 8001 --patient long-diazepam
  careplan demo --fhir http://127.0.0.1:8080/fhir""",
)
@click.option("--fhir", "fhir_base", metavar="URL", help="Use this FHIR R4 server instead of the embedded sandbox.")
@click.option("--load", is_flag=True, help="Write the synthetic patients to --fhir even if it is not on this machine.")
@click.option("--keep", is_flag=True, help="Leave on --fhir what was created there; else it is removed at the end.")
@click.option("--port", type=click.IntRange(0, 65535), help="Where to listen. Default: CAREPLAN_PORT, else 8000.")
@click.option("--patient", metavar="ID", help="Which synthetic patient to plan for. Default: long-diazepam.")
def demo(fhir_base: str | None, load: bool, keep: bool, port: int | None, patient: str | None) -> None:
    """Try it: the service, a small FHIR server and synthetic patients, on this machine only.

    Plans and posts for one patient, shows the schedule, and keeps serving until Ctrl-C. What it creates on another
    server carries the tag of the run, by which it is removed at the end.
    """
    from careplan.demo import run_demo
    from careplan.errors import CareplanError

    settings = environment.settings()
    try:
        run_demo(
            settings,
            port=settings.port if port is None else port,
            fhir_base=fhir_base,
            load=load,
            keep=keep,
            patient=patient,
        )
    except (OSError, CareplanError) as error:
        raise click.ClickException(str(error)) from error
