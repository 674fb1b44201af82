"""How an authorization server says no. https://www.rfc-editor.org/rfc/rfc6749#section-5.2"""

from __future__ import annotations


class OAuthError(Exception):
    """*code* as RFC 6749 and its extensions have it; *description* says in a sentence what would help."""

    def __init__(self, code: str, description: str, *, status: int = 400) -> None:
        super().__init__(f"{code}: {description}")
        self.code = code
        self.description = description
        self.status = status


class PageError(Exception):
    """What is told to the person in front of the browser, who must be sent nowhere."""
