"""A page as PDF, where the machine can make one."""

from __future__ import annotations


def as_pdf(page: str) -> bytes | None:
    """The XHTML *page* as PDF; None without the extra `pdf`, or without the Pango of the system that it needs.

    A page of a plan is whole in itself: nothing that it names is fetched.
    """
    try:
        from weasyprint import HTML  # type: ignore[import-untyped]
        from weasyprint.urls import URLFetcher  # type: ignore[import-untyped]
    except (ImportError, OSError):
        return None
    made: bytes = HTML(string=page, url_fetcher=URLFetcher(allowed_protocols=())).write_pdf()
    return made
