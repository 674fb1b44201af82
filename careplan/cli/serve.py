"""`careplan serve`: the service, and all its settings."""

from __future__ import annotations

import click

from careplan.cli import environment


@click.command(
    epilog="""\b
Settings, from the environment, and in brackets what holds without them (docs/access.md tells more):
  CAREPLAN_HOST, CAREPLAN_PORT   where to listen (127.0.0.1, 8000)
  CAREPLAN_FHIR_BASE             the FHIR R4 server to read and write; without it only `statements` are planned
  CAREPLAN_FHIR_ALSO             further FHIR servers that `careplan post --fhir` may use
  CAREPLAN_FHIR_DIALECT          what kind of server that is: r4, hapi, us-core, epic, oracle, athena (r4)
  CAREPLAN_CANONICAL_BASE        what canonical URLs begin with
  CAREPLAN_DATABASE              the outbox and the audit: sqlite:///FILE (a file of this user's), or
                                 postgresql://USER@HOST/NAME
  CAREPLAN_MAX_BODY              the largest request in bytes (8388608)
  CAREPLAN_RATE_LIMIT            how often one caller may ask each worker, or off (600 per minute)
  CAREPLAN_LOG_LEVEL             what is logged: debug, info, warning or error (info)
  CAREPLAN_GRACEFUL_TIMEOUT      seconds to finish what is under way after SIGTERM (60)

Who may ask:
  CAREPLAN_ISSUERS               whose tokens are accepted; needed to listen on other than loopback
  CAREPLAN_AUDIENCE              the `aud` of tokens for this service
  CAREPLAN_CLOCK_SKEW            seconds by which clocks may differ (30)
  CAREPLAN_METRICS_TOKEN         lets Prometheus read /metrics from elsewhere
  CAREPLAN_UNPROTECTED=yes       no tokens, for a container whose port is published on this machine only

Who launches the app (docs/app.md):
  CAREPLAN_APP_EHRS              the FHIR bases of EHRs, each as it is or as ADDRESS=CLIENT-ID
  CAREPLAN_APP_BASE              at which address browsers reach this service
  CAREPLAN_APP_FRAMES            the origins of pages that show the app in a frame, beside those of the EHRs
  CAREPLAN_APP_CLIENT_ID         how the app is called at the EHRs
  CAREPLAN_APP_CLIENT_SECRET     its secret there; or rather
  CAREPLAN_APP_CLIENT_KEY        the file of its private key; neither for a public client
  CAREPLAN_SECRET_KEY            seals the tokens of launches: 32 characters or more that nobody guesses

How it signs in to the FHIR server:
  CAREPLAN_CLIENT_ID             the id of this service there (SMART Backend Services)
  CAREPLAN_CLIENT_KEY            the file of its private key: PEM or JWK, RSA or EC P-384
  CAREPLAN_CLIENT_SCOPE          the scopes to ask for (what the operations need)
  CAREPLAN_TOKEN_URL             where to get tokens (as the FHIR server says)
  CAREPLAN_PRIVATE_HOSTS         hosts and networks that may be called although they are private
  CAREPLAN_AUDIT_TO_SERVER=yes   send each audit record to the FHIR server too, where it takes AuditEvents"""
)
def serve() -> None:
    """Run the service, from settings."""
    from careplan.errors import CareplanError
    from careplan.serving import listen, run_gunicorn, shared_metrics

    settings = environment.settings()
    if settings.why_not_serve:
        raise click.ClickException(settings.why_not_serve)
    if not settings.loopback_only and not settings.issuers:
        click.secho(
            f"WARNING: listening on {settings.host} without any sign-in. Whoever reaches port {settings.port} reads "
            "patients.",
            fg="red",
            bold=True,
            err=True,
        )
    try:
        with shared_metrics():
            from careplan.web import create_app  # looks at its start where the numbers of all workers are kept

            run_gunicorn(
                create_app(settings),
                listen(settings.host, settings.port),
                finish_within=settings.graceful_timeout,
            )
    except (OSError, ValueError, CareplanError) as error:
        raise click.ClickException(str(error)) from error
