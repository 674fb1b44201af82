"""One document, or one per line: told apart without being asked."""

from __future__ import annotations

from io import BytesIO

import pytest

from careplan.documents import read_documents, resources_in
from careplan.errors import BadRequest, Refused


@pytest.mark.parametrize(
    ("text", "by_line", "count"),
    [
        (b'{"resourceType": "Patient"}', False, 1),
        (b'{\n  "resourceType": "Patient"\n}\n', False, 1),
        (b'[\n{"resourceType": "Patient"},\n{"resourceType": "Patient"}\n]', False, 1),
        (b'[\n{"resourceType": "Patient"}\n]', False, 1),
        (b'{"resourceType": "Bundle", "entry": [\n{"resource": {"resourceType": "Patient"}}\n]}', False, 1),
        (b'{"resourceType": "Patient"}\n{"resourceType": "Patient"}\n', True, 2),
        (b'\n{"resourceType": "Patient"}\r\n\r\n{"resourceType": "Patient"}', True, 2),
        (b'not json\n{"resourceType": "Patient"}\n', True, 2),
        (b'{"resourceType": "Patient"}\nnot json\n', True, 2),
        (b"", False, 1),
        (b"not\njson", False, 1),
    ],
)
def test_lines_are_told_from_one_document(text, by_line, count):
    """By the first two lines."""
    documents = read_documents(BytesIO(text))
    assert documents.by_line is by_line
    assert len(list(documents.texts)) == count


def test_a_name_can_say_that_it_is_lines():
    """One patient in an .ndjson file gets a line too."""
    stream = BytesIO(b'{"resourceType": "Patient"}\n')
    stream.name = "patients.ndjson"
    assert read_documents(stream).by_line


def test_lines_are_read_as_they_come():
    """The third line is not touched before it is asked for, so that a pipe can be endless."""

    class Endless(BytesIO):
        def __iter__(self):
            while True:
                yield b'{"resourceType": "Patient"}\n'

    documents = read_documents(Endless())
    assert [next(documents.texts) for _ in range(3)] == [b'{"resourceType": "Patient"}'] * 3


def test_an_array_is_one_record():
    """Its resources belong together."""
    assert len(resources_in(b'[{"resourceType": "Patient"}, {"resourceType": "Condition"}]')) == 2


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (b" \n", "The input is empty"),
        (b"{}", "it has no resourceType"),
        (b"7", "it has no resourceType"),
        (b'[{"resourceType": "Patient"}, 7]', "it has no resourceType"),
        (b'{"resourceType": ["Patient"]}', "it has no resourceType"),
        (b'{"resourceType": "Parameters", "parameter": []}', "Give the record itself, such as the Bundle"),
    ],
)
def test_what_is_no_record_is_said_to_be_none(text, sentence):
    """In a sentence."""
    with pytest.raises(BadRequest, match=sentence):
        resources_in(text)


def test_a_page_of_a_longer_list_is_refused():
    """An incomplete list of medication is no list."""
    with pytest.raises(Refused, match="one page of several"):
        resources_in(b'{"resourceType": "Bundle", "link": [{"relation": "next", "url": "x"}]}')
