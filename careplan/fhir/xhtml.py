"""Whether the XHTML of a narrative may be shown: txt-1 and txt-2 (https://hl7.org/fhir/R4/narrative.html)."""

from __future__ import annotations

from xml.parsers import expat

NAMESPACE = "http://www.w3.org/1999/xhtml"
# The names in txt-1's XPath.
_ELEMENTS = """
    a abbr acronym b big blockquote br caption cite code col colgroup dd dfn div dl dt em h1 h2 h3 h4 h5 h6 hr i img li
    ol p pre q samp small span strong sub sup table tbody td tfoot th thead tr tt ul var
"""
_ATTRIBUTES = """
    abbr accesskey align alt axis bgcolor border cellhalign cellpadding cellspacing cellvalign char charoff charset cite
    class colspan compact coords dir frame headers height href hreflang hspace id lang longdesc name nowrap rel rev
    rowspan rules scope shape span src start style summary tabindex title type valign value vspace width xml:lang
"""
ELEMENTS = frozenset(_ELEMENTS.split())
ATTRIBUTES = frozenset(_ATTRIBUTES.split())
_LINKS = ("href", "src", "cite", "longdesc")
_ACTIVE = ("javascript:", "vbscript:", "data:text/html", "data:application")


class _Fault(Exception):
    """What is wrong, raised out of the parser."""


def fault(div: str) -> str | None:
    """What is wrong with *div*, beginning with the invariant it breaks; None when it may be shown.

    It must be well-formed XML of one div in the XHTML namespace, made of the elements and attributes of txt-1 alone
    (so no scripts, forms, frames, or handlers of events), and have text or an image in it. A document type, and with
    it any entity beyond XML's five, is refused before it is read.
    """
    try:
        _read(div)
    except _Fault as found:
        return str(found)
    except expat.ExpatError as error:
        return f"txt-1: the div is not well-formed XML: {expat.ErrorString(error.code)}, line {error.lineno}."
    except UnicodeEncodeError:
        return "txt-1: the div holds half of a surrogate pair."
    return None


def _read(div: str) -> None:
    shown = False
    root = True

    def start(name: str, attributes: dict[str, str]) -> None:
        nonlocal root, shown
        if root:
            root = False
            if name != "div" or attributes.get("xmlns") != NAMESPACE:
                raise _Fault(f'txt-1: the narrative is a div with xmlns="{NAMESPACE}".')
        elif name not in ELEMENTS:
            raise _Fault(f"txt-1: the element {name[:40]} is not allowed in a narrative.")
        if attributes:
            _check(attributes)
            shown = shown or (name == "img" and "src" in attributes)

    def text(characters: str) -> None:
        nonlocal shown
        if not characters.isspace():
            shown = True
            parser.CharacterDataHandler = None

    def doctype(*_: object) -> None:
        raise _Fault("txt-1: a document type is not allowed in a narrative.")

    parser = expat.ParserCreate()
    parser.StartElementHandler = start
    parser.CharacterDataHandler = text
    parser.StartDoctypeDeclHandler = doctype
    parser.Parse(div, True)
    if not shown:
        raise _Fault("txt-2: the narrative shall have some text, or an image.")


def _check(attributes: dict[str, str]) -> None:
    for name, value in attributes.items():
        if name == "xmlns":
            if value != NAMESPACE:
                raise _Fault("txt-1: another namespace is not allowed in a narrative.")
        elif name not in ATTRIBUTES:
            raise _Fault(f"txt-1: the attribute {name[:40]} is not allowed in a narrative.")
        elif name in _LINKS and "".join(value.split()).lower().startswith(_ACTIVE):
            raise _Fault(f"txt-1: active content in {name} is not allowed in a narrative.")
