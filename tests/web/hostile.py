"""What nobody should send, by name: bodies, headers, addresses and values for tests to try everywhere."""

from __future__ import annotations

import gzip
import json
from collections.abc import Mapping
from typing import Any

from tests.web.records import MG, bundle, diazepam, parameters, patient, record, statements

FHIR = "application/fhir+json"
GOOD = json.dumps(parameters(statements(record()))).encode()


def nested(levels: int, inner: Any, *, key: str | None = None) -> Any:
    """*inner* within so many lists, or within objects of one *key*."""
    for _ in range(levels):
        inner = [inner] if key is None else {key: inner}
    return inner


def bundles(levels: int) -> Any:
    """A record within Bundles within Bundles."""
    inner = record()
    for _ in range(levels):
        inner = bundle(inner)
    return inner


def _asked(value: str) -> bytes:
    """A Parameters with a piece of raw JSON in it."""
    return (
        b'{"resourceType":"Parameters","parameter":[{"name":"amount","valueQuantity":{"value":%s}}]}' % value.encode()
    )


def _named(name: str) -> bytes:
    return json.dumps(parameters({"name": name, "valueString": name})).encode()


def _sent(resource: Any) -> bytes:
    """A resource as each parameter that takes one, so that some operation reads it."""
    return json.dumps(resource).encode()


_CYCLE = {
    "resourceType": "MedicationStatement",
    "id": "cycle",
    "status": "active",
    "contained": [
        {"resourceType": "Medication", "id": "a", "ingredient": [{"itemReference": {"reference": "#b"}}]},
        {"resourceType": "Medication", "id": "b", "ingredient": [{"itemReference": {"reference": "#a"}}]},
    ],
    "medicationReference": {"reference": "#a"},
    "subject": {"reference": "#cycle"},
    "partOf": [{"reference": "MedicationStatement/cycle"}],
    "basedOn": [{"reference": "MedicationStatement/cycle"}],
    "derivedFrom": [{"reference": "MedicationStatement/cycle"}],
}

BODIES: Mapping[str, bytes] = {
    "nothing": b"",
    "white space": b" \n\t\r ",
    "truncated": GOOD[: len(GOOD) // 2],
    "truncated in a character": '{"a":"ź'.encode()[:-1],
    "two values": GOOD + b"\n" + GOOD,
    "a trailing comma": b'{"resourceType":"Parameters",}',
    "single quotes": b"{'resourceType':'Parameters'}",
    "a comment": b'/* x */ {"resourceType":"Parameters"}',
    "names without quotes": b"{resourceType:Parameters}",
    "the same name twice": b'{"resourceType":"Parameters","parameter":[],"parameter":[]}',
    "NaN": _asked("NaN"),
    "Infinity": _asked("Infinity"),
    "minus Infinity": _asked("-Infinity"),
    "1e400": _asked("1e400"),
    "1e-400": _asked("1e-400"),
    "an exponent of 60 digits": _asked("1e" + "9" * 60),
    "a number of 100,000 digits": _asked("9" * 100_000),
    "a fraction of 100,000 digits": _asked("0." + "9" * 100_000),
    "a leading zero": _asked("01"),
    "a hexadecimal number": _asked("0x10"),
    "digits of another script": _asked("٥"),
    "lists 10,000 deep": b"[" * 10_000 + b"]" * 10_000,
    "objects 10,000 deep": b'{"a":' * 10_000 + b"1" + b"}" * 10_000,
    "lists never closed": b"[" * 1_000_000,
    "half a surrogate pair, escaped": b'{"resourceType":"Parameters","id":"\\ud800"}',
    "half a surrogate pair, in bytes": b'{"resourceType":"Parameters","id":"\xed\xa0\x80"}',
    "an overlong encoding": b'{"resourceType":"Parameters","id":"\xc0\xaf"}',
    "a byte order mark": b"\xef\xbb\xbf" + GOOD,
    "UTF-16": GOOD.decode().encode("utf-16"),
    "UTF-32": GOOD.decode().encode("utf-32"),
    "a NUL byte": b"\x00" + GOOD,
    "NUL bytes in between": GOOD.replace(b":", b":\x00"),
    "a NUL character": b'{"resourceType":"Parameters\\u0000","parameter":[{"name":"mode\\u0000"}]}',
    "a control character": b'{"resourceType":"Para\x01meters"}',
    "a list": b"[]",
    "a list of Parameters": b"[" + GOOD + b"]",
    "a string": b'"Parameters"',
    "a number": b"5",
    "null": b"null",
    "true": b"true",
    "an empty object": b"{}",
    "a resourceType that is a list": b'{"resourceType":["Parameters"]}',
    "a resourceType that is an object": b'{"resourceType":{"Parameters":1}}',
    "a resourceType that is null": b'{"resourceType":null}',
    "an unknown resourceType": b'{"resourceType":"Teapot","parameter":[]}',
    "a resourceType in another case": b'{"resourceType":"parameters","parameter":[]}',
    "another resource": json.dumps(patient()).encode(),
    "a parameter list that is an object": b'{"resourceType":"Parameters","parameter":{"name":"mode"}}',
    "a parameter list that is a string": b'{"resourceType":"Parameters","parameter":"mode"}',
    "a parameter list that is null": b'{"resourceType":"Parameters","parameter":null}',
    "parameters that are null": b'{"resourceType":"Parameters","parameter":[null,null]}',
    "parameters that are lists": b'{"resourceType":"Parameters","parameter":[[],[[]]]}',
    "a parameter without a name": b'{"resourceType":"Parameters","parameter":[{}]}',
    "a parameter whose name is a list": b'{"resourceType":"Parameters","parameter":[{"name":["mode"]}]}',
    "a parameter whose name is an object": b'{"resourceType":"Parameters","parameter":[{"name":{"mode":1}}]}',
    "a string of a megabyte": _named("x" * 1_000_000),
    "100,000 parameters": json.dumps(parameters(*[{"name": "medication"}] * 100_000)).encode(),
    "100,000 names": json.dumps({"resourceType": "Parameters", **{f"n{i}": i for i in range(100_000)}}).encode(),
    "a resource of 50,000 empty entries": json.dumps(parameters(statements(bundle(*[{}] * 50_000)))).encode(),
    "more than is taken": b"[" + b" " * (9 * 1024 * 1024) + b"]",
    "names of prototypes": b'{"resourceType":"Parameters","__proto__":{"admin":true},"constructor":{"prototype":{}},'
    b'"__class__":1,"parameter":[{"name":"__proto__","__init__":{}},{"name":"constructor"}]}',
    "XML": b'<?xml version="1.0"?><!DOCTYPE a [<!ENTITY x SYSTEM "file:///etc/passwd">]><Parameters>&x;</Parameters>',
    "HTML": b"<script>alert(1)</script>",
    "HTML as a name": _named("<script>alert(1)</script>"),
    "SQL as a name": _named("'; DROP TABLE patients; --"),
    "a template as a name": _named("{{ 7*7 }}${7*7}<%= 7*7 %>{% raw %}"),
    "a format as a name": _named("%s%n%x{0.__class__}"),
    "a regular expression as a name": _named("(a+)+$" + "a" * 5000 + "!"),
    "a line break as a name": _named("mode\r\nSet-Cookie: a=b"),
    "YAML": b"!!python/object/apply:os.system ['true']",
    "a pickle": b"\x80\x04\x95\x1d\x00\x00\x00\x00\x00\x00\x00\x8c\x05posix\x94\x8c\x06system\x94\x93\x94.",
    "multipart": b'--x\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\n{}\r\n--x--\r\n',
    "gzip": gzip.compress(GOOD),
    "Bundles within Bundles": json.dumps(parameters(statements(bundles(20)))).encode(),
    "Bundles too deep": json.dumps(parameters(statements(bundles(60)))).encode(),
    "a Bundle of itself": json.dumps(parameters(statements(bundle(_CYCLE, patient(), _CYCLE)))).encode(),
    "entries that differ under one id": json.dumps(
        parameters(statements(bundle(*({"resourceType": "Observation", "id": "a", "n": i} for i in range(40_000)))))
    ).encode(),
}

HEADERS: Mapping[str, Mapping[str, str]] = {
    "no content type": {"Content-Type": ""},
    "plain text": {"Content-Type": "text/plain"},
    "a form": {"Content-Type": "application/x-www-form-urlencoded"},
    "multipart": {"Content-Type": "multipart/form-data; boundary=x"},
    "multipart without a boundary": {"Content-Type": "multipart/form-data"},
    "XML": {"Content-Type": "application/fhir+xml"},
    "no media type at all": {"Content-Type": ";;;=;;\x7f\xff"},
    "another character set": {"Content-Type": f"{FHIR}; charset=utf-7"},
    "an unknown character set": {"Content-Type": f"{FHIR}; charset=\xff'*"},
    "another FHIR version": {"Content-Type": f"{FHIR}; fhirVersion=5.0"},
    "gzip that is none": {"Content-Encoding": "gzip"},
    "an unknown encoding": {"Content-Encoding": "zstd, br"},
    "a length that is too long": {"Content-Length": "100000"},
    "a length that is too short": {"Content-Length": "10"},
    "a negative length": {"Content-Length": "-1"},
    "a length that is no number": {"Content-Length": "ten"},
    "a length in another script": {"Content-Length": "\xb2"},
    "a length of 5,000 digits": {"Content-Length": "9" * 5000},
    "chunks that are none": {"Transfer-Encoding": "chunked"},
    "a header of 100,000 characters": {"X-Anything": "x" * 100_000},
    "an identity of 100,000 characters": {"X-Request-Id": "x" * 100_000},
    "nothing acceptable": {"Accept": "image/png"},
    "what is acceptable, 1,000 times": {"Accept": ",".join(["text/html;q=0.1"] * 1000)},
    "an accept header that is none": {"Accept": ";q=\xff,,,/;q=1e999"},
    "a quality that is none": {"Accept": f"{FHIR};q=x"},
    "a preference that is none": {"Prefer": "handling==;;,lenient" * 1000},
    "lenient handling": {"Prefer": "handling=lenient"},
    "another method in a header": {"X-HTTP-Method-Override": "DELETE"},
    "a range": {"Range": "bytes=0-0,5-,-1"},
    "a condition": {"If-None-Match": "*", "If-Modified-Since": "yesterday"},
    "cookies": {"Cookie": "a=" + "b;" * 1000},
    "a sign-in": {"Authorization": "Basic \xff"},
    "an expectation": {"Expect": "200-maybe"},
}

IDS: Mapping[str, str] = {
    "two folders up": "..%2f..%2fetc%2fpasswd",
    "two folders up, encoded twice": "%252e%252e%252f%252e%252e",
    "two folders up, as another separator": "..%5c..%5c",
    "dots": "%2e%2e",
    "a NUL": "a%00b",
    "half an escape": "a%",
    "no escape": "%zz",
    "an overlong slash": "%c0%af",
    "half a surrogate pair": "%ed%a0%80",
    "a line break": "a%0d%0aSet-Cookie:%20a=b",
    "another address": "http:%2f%2fevil.example%2f",
    "a query": "a%3f_count=1",
    "a fragment": "a%23b",
    "a matrix parameter": "a;b=c",
    "an operation": "$everything",
    "65 characters": "a" * 65,
    "100,000 characters": "a" * 100_000,
    "markup": "%3Cscript%3Ealert(1)%3C%2Fscript%3E",
    "SQL": "'%20OR%20'1'='1",
    "a template": "%7B%7B7*7%7D%7D",
    "another script": "%D9%A5",
    "a space": "%20",
}

QUERIES: Mapping[str, str] = {
    "a format that is not served": "_format=xml",
    "an empty format": "_format=",
    "a format that is none": "_format=%00;%ff='*",
    "the format twice": "_format=json&_format=xml",
    "an unknown name": "nonsense=1",
    "no names": "&&&==&=",
    "bytes that are no text": "%ff=%fe&%ed%a0%80=%c0%af",
    "a NUL": "subject=Patient/a%00b&url=%00",
    "a path": "subject=Patient/..%2f..%2fetc&url=..%2f..%2f",
    "another server": "subject=http://evil.example/Patient/1&url=http://evil.example/",
    "the same name twice": "subject=Patient/a&subject=Patient/b&url=a&url=b",
    "5,000 names": "&".join(f"n{i}=1" for i in range(5000)),
    "a value of 100,000 characters": "url=" + "a" * 100_000,
    "names in brackets": "subject[]=Patient/a&subject[__proto__][x]=1",
    "a bar": "url=|||&canonical=|&version=|",
    "markup": "url=%3Cscript%3Ealert(1)%3C/script%3E&subject=%3Cscript%3E",
    "a page": "_count=-1&_offset=1e9&_summary=count",
}

METHODS = ("GET", "HEAD", "OPTIONS", "PUT", "PATCH", "DELETE", "TRACE", "CONNECT", "PROPFIND", "get", "NONSENSE")

VALUES: Mapping[str, Any] = {
    "null": None,
    "true": True,
    "zero": 0,
    "a negative number": -5,
    "a huge number": 10**60,
    "a string": "diazepam",
    "an empty string": "",
    "white space": " \t\n",
    "a long string": "5 mg " * 20_000,
    "a list": [],
    "a list in a list": [[[]]],
    "an object": {},
    "objects 60 deep": nested(60, 1, key="value"),
    "a list of null": [None],
    "a date in the year 0": "0000-01-01",
    "the first day": "0001-01-01",
    "the last day": "9999-12-31",
    "a day that is not": "2026-02-30",
    "a leap second": "2016-12-31T23:59:60Z",
    "an instant with a far zone": "2026-01-05T00:00:00+99:99",
    "a day in another script": "٢٠٢٦-٠١-٠٥",
    "a reference to itself": {"reference": "#"},
    "a reference up": {"reference": "Patient/../../etc/passwd"},
    "a reference that is a list": {"reference": ["Patient/p1"]},
    "a resource": patient(),
    "a resource without a type": {"id": "a"},
    "a resource whose type is a list": {"resourceType": ["Bundle"], "entry": [{}]},
    "an empty Bundle": bundle(),
    "a Bundle of null": {"resourceType": "Bundle", "type": "collection", "entry": [None, {"resource": None}]},
    "a Bundle whose entries are an object": {"resourceType": "Bundle", "type": "collection", "entry": {"resource": {}}},
    "a Bundle of itself": bundle(_CYCLE),
    "a Parameters": parameters({"name": "statements"}),
    "a quantity without a value": dict(MG),
    "a negative quantity": {"value": -1, **MG},
    "a quantity of nothing": {"value": 0, **MG},
    "a tiny quantity": {"value": 1e-300, **MG},
    "a huge quantity": {"value": 1e300, **MG},
    "a quantity of text": {"value": "5", **MG},
    "a quantity of true": {"value": True, **MG},
    "a quantity whose unit is a list": {"value": 5, "system": ["http://unitsofmeasure.org"], "code": ["mg"]},
    "a Dosage whose parts are lists": {"text": ["5 mg"], "timing": [], "doseAndRate": {}},
    "a Dosage of regular expressions": {"text": "(a+)+$" + "a" * 3000 + "!"},
    "a Dosage of commas": {"text": "1 tablet, " * 3000},
    "a Dosage of digits": {"text": "1-" * 20_000},
}

_ONCE = {"frequency": 1, "period": 1, "periodUnit": "d"}


def _dosage(**changed: Any) -> list[Any]:
    return [{"timing": {"repeat": _ONCE}, "doseAndRate": [{"doseQuantity": {"value": 5, **MG}}], **changed}]


def _dose(value: Any) -> list[Any]:
    return _dosage(doseAndRate=[{"doseQuantity": {"value": value, **MG}}])


def _repeat(**changed: Any) -> list[Any]:
    return _dosage(timing={"repeat": {**_ONCE, **changed}})


RECORDS: Mapping[str, Any] = {
    "a negative dose": record(dosage=_dose(-5)),
    "a dose of nothing": record(dosage=_dose(0)),
    "a tiny dose": record(dosage=_dose(1e-300)),
    "a huge dose": record(dosage=_dose(1e300)),
    "a dose of 60 digits": record(dosage=_dose(10**60)),
    "a dose with 60 decimals": record(dosage=_dose(5.000000000000001)),
    "a dose of text": record(dosage=_dose("5")),
    "a frequency of nothing": record(dosage=_repeat(frequency=0)),
    "a negative frequency": record(dosage=_repeat(frequency=-2)),
    "a huge frequency": record(dosage=_repeat(frequency=10**50)),
    "a period of nothing": record(dosage=_repeat(period=0)),
    "a negative period": record(dosage=_repeat(period=-1)),
    "a tiny period": record(dosage=_repeat(period=1e-300)),
    "a huge period": record(dosage=_repeat(period=1e300)),
    "a unit that is none": record(dosage=_repeat(periodUnit="fortnight")),
    "a unit that is a list": record(dosage=_repeat(periodUnit=["d"])),
    "times that are none": record(dosage=_repeat(timeOfDay=["25:61:61", "", None, 5])),
    "a leap second": record(dosage=_repeat(timeOfDay=["23:59:60"])),
    "days that are none": record(dosage=_repeat(dayOfWeek=["someday", None, {}])),
    "100,000 times a day": record(dosage=_repeat(timeOfDay=["08:00:00"] * 100_000)),
    "100,000 dosages": record(dosage=_dose(5) * 100_000),
    "100,000 rates": record(dosage=_dosage(doseAndRate=[{"doseQuantity": {"value": 5, **MG}}] * 100_000)),
    "the year 0": record(effectivePeriod={"start": "0000-01-01"}),
    "the first and the last day": record(effectivePeriod={"start": "0001-01-01", "end": "9999-12-31"}),
    "a day that is not": record(effectivePeriod={"start": "2026-02-30"}),
    "a period backwards": record(effectivePeriod={"start": "2030-01-01", "end": "1900-01-01"}),
    "a supply without end": record(dosage=_repeat(boundsDuration={"value": 1e300, **MG, "code": "a"})),
    "a leap second in an instant": record(dateAsserted="2016-12-31T23:59:60Z"),
    "born on the last day": bundle({**patient(), "birthDate": "9999-12-31"}, diazepam()),
    "born in the year 0": bundle({**patient(), "birthDate": "0000"}, diazepam()),
    "an id that is a path": bundle({**patient(), "id": "../../etc"}, diazepam()),
    "an id that is a list": bundle({**patient(), "id": ["p1"]}, diazepam()),
    "10,000 patients": bundle(*(patient(f"p{i}") for i in range(10_000)), diazepam()),
    "the same resource 20,000 times": bundle(patient(), *[diazepam()] * 20_000),
    "5,000 resources under one id": bundle(
        patient(), *(diazepam(dateAsserted=f"2025-01-01T00:{i}") for i in range(5_000))
    ),
    "5,000 statements": bundle(patient(), *(diazepam(id=f"s{i}") for i in range(5_000))),
    "a chain of 5,000 references": bundle(
        patient(),
        *(diazepam(id=f"s{i}", partOf=[{"reference": f"MedicationStatement/s{i + 1}"}]) for i in range(5_000)),
    ),
    "a cycle": bundle(patient(), _CYCLE),
    "a medication that contains itself": bundle(
        patient(),
        diazepam(
            medicationCodeableConcept=None,
            medicationReference={"reference": "#m"},
            contained=[
                {"resourceType": "Medication", "id": "m", "ingredient": [{"itemReference": {"reference": "#m"}}]}
            ],
        ),
    ),
    "names of prototypes": record(__proto__={"dosage": []}, constructor={"prototype": {}}),
    "10,000 codings": record(
        medicationCodeableConcept={"coding": [{"system": "x", "code": str(i)} for i in range(10_000)]}
    ),
    "directions of 100,000 words": record(dosage=[{"text": "take one tablet and " * 25_000}]),
    "directions of digits": record(dosage=[{"text": "1/" * 50_000}]),
    "directions of brackets": record(dosage=[{"text": "(" * 50_000}]),
    "directions that are a regular expression": record(dosage=[{"text": "(a|a)*b" + "a" * 50_000}]),
    "directions of spaces": record(dosage=[{"text": "5" + " " * 100_000 + "mg"}]),
    "a name of 500,000 characters": record(medicationCodeableConcept={"text": "diazepam " * 55_000}),
    "notes of 500,000 characters": record(note=[{"text": "stopped? " * 55_000}]),
}
