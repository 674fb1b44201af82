"""A field that cannot be understood is refused by name; nothing is guessed."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from werkzeug.datastructures import MultiDict

from careplan.errors import BadRequest
from careplan.web.app import forms
from careplan.web.app.draft import Draft

Form = Callable[[Draft, MultiDict[str, str]], Draft]


def _confirmed(draft: Draft, fields: MultiDict[str, str]) -> Draft:
    return forms.with_confirmation(draft, fields, "Dr A")


REFUSED: list[tuple[Form, dict[str, str], str, str]] = [
    (_confirmed, {"amount": "5", "times": "2"}, "medication", "which medicine"),
    (_confirmed, {"medication": "x"}, "amount", "either as an amount"),
    (_confirmed, {"medication": "x", "amount": "5", "times": "2", "words": "5 mg"}, "amount", "or in words"),
    (_confirmed, {"medication": "x", "amount": "5"}, "times", "how often"),
    (_confirmed, {"medication": "x", "amount": "2,5", "times": "2"}, "amount", "such as 2.5"),
    (_confirmed, {"medication": "x", "amount": "-5", "times": "2"}, "amount", "such as 2.5"),
    (_confirmed, {"medication": "x", "amount": "5", "times": "0"}, "times", "from 1 to 12"),
    (_confirmed, {"medication": "x", "amount": "٥", "times": "2"}, "amount", "such as 2.5"),
    (_confirmed, {"medication": "x", "words": "5 mg\nonce"}, "words", "one line"),
    (_confirmed, {"medication": "x", "words": "5" * 501}, "words", "at most 500"),
    (forms.with_adjustment, {"kind": "hold", "on": "2026-02-30", "weeks": "1"}, "on", "A day is written"),
    (forms.with_adjustment, {"kind": "hold", "on": "2026-02-02", "weeks": "53"}, "weeks", "from 1 to 52"),
    (forms.with_adjustment, {"kind": "pace", "on": "2026-02-02"}, "pace", "Say the pace"),
    (forms.with_adjustment, {"on": "2026-02-02"}, "kind", "Say what to change"),
    (forms.with_choices, {"start": "tomorrow"}, "start", "A day is written"),
    (forms.with_choices, {"target": "little"}, "target", "as a number"),
    (forms.with_choices, {"offered": "a"}, "strength", "as a number"),
]


@pytest.mark.parametrize(("form", "given", "where", "text"), REFUSED)
def test_a_field_that_is_not_understood_is_named(form: Form, given: dict[str, str], where: str, text: str):
    """The field, and what it should be."""
    with pytest.raises(BadRequest, match=text) as caught:
        form(Draft(), MultiDict(given))
    assert caught.value.expression == where


def test_who_signed_in_cannot_be_another():
    """A name in the form counts only where nobody signed in; then it is needed."""
    assert forms.who("Practitioner/3", MultiDict({"by": "Dr Else"})) == "Practitioner/3"
    assert forms.who(None, MultiDict({"by": " Dr A "})) == "Dr A"
    with pytest.raises(BadRequest, match="nobody has signed in"):
        forms.who(None, MultiDict())


def test_an_override_needs_a_reason():
    """White space is none."""
    with pytest.raises(BadRequest, match="Say the reason"):
        forms.with_override(Draft(), MultiDict({"code": "epilepsy", "reason": "  "}), "Dr A")


def test_what_no_call_may_ask_a_draft_may_not_either():
    """An override of a code that is none is refused by the reader of the parameters."""
    draft = forms.with_override(Draft(), MultiDict({"code": "<b>", "reason": "r"}), "Dr A")
    with pytest.raises(BadRequest, match="There is no finding with the code"):
        _ = draft.asked
