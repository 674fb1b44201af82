"""A page as PDF, where the machine can make one."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

PDF_UA = "pdf/ua-1"


def as_pdf(page: str, *, styles: Sequence[str] = ()) -> bytes | None:
    """The (X)HTML *page* as PDF/UA-1; None without the extra `pdf`, or without the Pango of the system that it needs.

    A page is whole in itself: nothing that it names is fetched, so its style sheets are given as texts. It needs a
    title and a language for what PDF/UA promises (ISO 14289-1).
    """
    if not can_print():
        return None
    from weasyprint import CSS, HTML  # type: ignore[import-untyped]
    from weasyprint.urls import URLFetcher  # type: ignore[import-untyped]

    nothing = URLFetcher(allowed_protocols=())
    sheets = [CSS(string=text, url_fetcher=nothing) for text in styles]
    made: bytes = HTML(string=page, url_fetcher=nothing).write_pdf(stylesheets=sheets, pdf_variant=PDF_UA)
    return made


@cache
def can_print() -> bool:
    """Whether PDFs can be made here."""
    try:
        import weasyprint  # noqa: F401
    except (ImportError, OSError):
        return False
    return True
