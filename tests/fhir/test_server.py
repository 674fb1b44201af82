"""A FHIR server that cannot be trusted: what does arrive is never taken for the whole."""

from decimal import Decimal

import pytest
from flask import Flask, Response, request

from careplan.errors import BadRequest, NotFound, UpstreamBusy, UpstreamError, UpstreamRejected, UpstreamTimeout
from careplan.fhir.server import FhirServer
from careplan.serving import address_of, listen, serving

PATIENT = '{"resourceType": "Patient", "id": "p"}'


def answer(body, status=200, **headers):
    return Response(body, status, headers={"Content-Type": "application/fhir+json", **headers})


def page(following=None):
    link = f', "link": [{{"relation": "next", "url": "{following}"}}]' if following else ""
    return answer(f'{{"resourceType": "Bundle", "type": "searchset", "entry": [{{"resource": {PATIENT}}}]{link}}}')


def ask(view, question, *, timeout=2):
    """Put *question* to a server whose every answer is *view*."""
    app = Flask("misbehaving")
    app.add_url_rule("/fhir", "base", lambda: view(""), methods=["GET", "POST"])
    app.add_url_rule("/fhir/<path:path>", "any", view, methods=["GET", "POST", "PUT", "DELETE"])
    taken = listen("127.0.0.1", 0)
    with serving(app, taken), FhirServer(f"{address_of(taken)}/fhir", timeout=timeout) as server:
        return question(server)


def search(server):
    return server.search("Patient", {"family": "Synthetic-Secret"})


@pytest.mark.parametrize(
    ("view", "says"),
    [
        (lambda path: page("http://127.0.0.1:1/fhir?page=2"), "is not followed"),
        (lambda path: page("https://elsewhere.example/fhir?page=2"), "is not followed"),
        (lambda path: page(request.url), "leads back to an earlier one"),
        (
            lambda path: answer("<html>", 500) if "page" in request.args else page(f"{request.base_url}?page=2"),
            "page 2",
        ),
        (lambda path: answer('{"resourceType": "Patient"}'), "where a Bundle is due"),
        (lambda path: answer('{"resourceType": "Bundle", "type": "searchset", "type": "searchset"}'), "JSON"),
        (lambda path: answer("<html>Sign in</html>", **{"Content-Type": "text/html"}), "JSON"),
    ],
)
def test_a_list_that_may_be_incomplete_is_no_list(view, says):
    """Another origin, a loop, a failing page, another shape: an error that says so, without what was searched for."""
    with pytest.raises(UpstreamError, match=says) as caught:
        ask(view, search)
    assert "Secret" not in caught.value.message


def test_exact_numbers_arrive_exactly():
    """2.50 stays 2.50."""
    read = ask(lambda path: answer('{"resourceType": "Patient", "id": "p", "x": 2.50}'), lambda s: s.read("Patient/p"))
    assert isinstance(read["x"], Decimal)
    assert str(read["x"]) == "2.50"


@pytest.mark.parametrize("status", [404, 410])
def test_what_is_gone_is_not_found(status):
    """Never there, or deleted."""
    with pytest.raises(NotFound):
        ask(
            lambda path: answer('{"resourceType": "OperationOutcome", "issue": []}', status),
            lambda s: s.read("Patient/p"),
        )


def test_a_post_is_sent_once_whatever_happens():
    """A transaction that failed is not tried again by itself."""
    calls = []

    def failing(path):
        calls.append(request.method)
        return answer('{"resourceType": "OperationOutcome", "issue": []}', 503)

    with pytest.raises(UpstreamError):
        ask(failing, lambda s: s.transaction({"resourceType": "Bundle", "type": "transaction", "entry": []}))
    assert calls == ["POST"]


def test_a_refusal_carries_what_the_server_said():
    """Its status and its OperationOutcome."""
    said = '{"resourceType": "OperationOutcome", "issue": [{"severity": "error", "code": "invalid"}]}'
    with pytest.raises(UpstreamRejected) as caught:
        ask(lambda path: answer(said, 422), lambda s: s.transaction({"resourceType": "Bundle", "type": "transaction"}))
    assert caught.value.upstream_status == 422
    assert caught.value.outcome == {
        "resourceType": "OperationOutcome",
        "issue": [{"severity": "error", "code": "invalid"}],
    }


def test_silence_has_an_end():
    """A server that does not answer in time is a timeout."""
    import time

    def slow(path):
        time.sleep(1)
        return answer(PATIENT)

    with pytest.raises(UpstreamTimeout):
        ask(slow, lambda s: s.read("Patient/p"), timeout=0.3)


def counting(*answers):
    """A view that gives one of *answers* after the other, and the calls it has had."""
    calls: list[str] = []

    def view(path):
        calls.append(request.method)
        return answers[min(len(calls), len(answers)) - 1]()

    return view, calls


def read(server):
    return server.read("Patient/p")


@pytest.mark.parametrize("status", [429, 502, 503, 504])
def test_a_get_is_tried_again(status):
    """When the server says it is busy, or its proxy that it is down for a moment."""
    view, calls = counting(lambda: answer("", status, **{"Retry-After": "0"}), lambda: answer(PATIENT))
    assert ask(view, read)["id"] == "p"
    assert len(calls) == 2


def test_patience_has_an_end():
    """After three times the caller is told, and when the server wants to be asked again."""
    view, calls = counting(lambda: answer("", 429, **{"Retry-After": "0"}))
    with pytest.raises(UpstreamError, match=r"too much to do \(429\)\. It asks to come back in 0 seconds"):
        ask(view, read)
    assert len(calls) == 3


def test_a_failure_that_is_no_pause_is_not_tried_again():
    """500 is a bug over there."""
    view, calls = counting(lambda: answer("", 500))
    with pytest.raises(UpstreamError, match=r"failed \(500\)"):
        ask(view, read)
    assert len(calls) == 1


def drip():
    """A byte now and then: each arrives in time, the whole never."""
    import time

    for _ in range(100):
        time.sleep(0.05)
        yield b" "


@pytest.mark.parametrize(
    ("view", "error", "says"),
    [
        (lambda path: answer(iter([PATIENT]), **{"Content-Length": "1000"}), UpstreamError, "broke off"),
        (lambda path: answer(drip()), UpstreamTimeout, "did not answer within 0.5 seconds"),
        (lambda path: answer(b" " * 1_000_000 for _ in range(1)), UpstreamError, "answered with nothing"),
        (lambda path: answer(""), UpstreamError, "answered with nothing instead of FHIR JSON"),
        (lambda path: answer("[1]"), UpstreamError, "not a resource"),
        (lambda path: answer("<Patient/>"), UpstreamError, "an HTML or XML page"),
        (lambda path: answer('{"resourceType": "Patient", "id": "p", "id": "q"}'), UpstreamError, "same name twice"),
        (lambda path: answer('{"resourceType": "Patient", "x": NaN}'), UpstreamError, "NaN is not a number"),
        (lambda path: answer('{"resourceType": "<script>"}'), UpstreamError, "gave no resource for Patient/p"),
        (lambda path: answer("", 401), UpstreamRejected, "sign in again"),
        (lambda path: answer("", 403), UpstreamRejected, "ask for wider access"),
        (
            lambda path: answer("", 301, Location="https://elsewhere.example/fhir"),
            UpstreamError,
            "redirects to elsewhere",
        ),
        (lambda path: answer("", 302, Location=request.url), UpstreamError, "more than 3 times"),
    ],
)
def test_what_cannot_be_used_is_said(view, error, says):
    """With the place, and what would help."""
    with pytest.raises(error, match=says) as caught:
        ask(view, read, timeout=0.5)
    assert "127.0.0.1" in caught.value.message


def test_too_much_is_not_read_to_the_end():
    """An answer without an end would fill the memory."""

    def endless(path):
        return answer(b" " * 1_000_000 for _ in range(1000))

    with pytest.raises(UpstreamError, match="sent more than 50 MB"):
        ask(endless, read, timeout=30)


def test_pages_have_an_end():
    """A server that always has one more page is not followed for ever."""
    calls: list[str] = []

    def view(path):
        calls.append(request.method)
        return page(f"{request.base_url}?page={len(calls)}")

    with pytest.raises(UpstreamError, match="more than 200 pages"):
        ask(view, search)
    assert len(calls) == 200


@pytest.mark.parametrize(
    "link",
    [
        "http://user:secret@127.0.0.1/fhir?page=2",
        "/other?page=2",
        "/fhirother?page=2",
        "/fhir/../admin?page=2",
        "/fhir/%2e%2e/admin?page=2",
        "//elsewhere.example/fhir?page=2",
        "file:///etc/passwd",
        "http://[::1/fhir",
    ],
)
def test_credentials_go_nowhere_else(link):
    """The link to the next page may not leave the base address by any trick."""
    with pytest.raises(UpstreamError) as caught:
        ask(lambda path: page(link), search)
    assert "secret" not in caught.value.message


def test_a_relative_link_and_a_redirect_within_the_server_are_followed():
    """Both occur, and both stay where the credentials belong."""

    def view(path):
        if "page" in request.args:
            return answer(f'{{"resourceType": "Bundle", "type": "searchset", "entry": [{{"resource": {OTHER}}}]}}')
        return page("/fhir?page=2") if path == "v2" else answer("", 307, Location="/fhir/v2")

    assert [each["id"] for each in ask(view, search)] == ["p", "q"]


OTHER = PATIENT.replace('"p"', '"q"')


@pytest.mark.parametrize(
    ("entry", "says"),
    [
        (
            '{"resource": {"resourceType": "OperationOutcome", "issue": [{"severity": "error", "code": "throttled"}]},'
            ' "search": {"mode": "outcome"}}',
            r"came with an error, throttled, so the list is incomplete",
        ),
        ('{"fullUrl": "https://a.example/Patient/1"}', "entry without a resource"),
        ("7", "entry without a resource"),
    ],
)
def test_a_page_that_says_something_is_missing_is_no_list(entry, says):
    """Epic, for one, puts what it left out into an OperationOutcome among the entries."""
    with pytest.raises(UpstreamError, match=says):
        ask(lambda path: answer(f'{{"resourceType": "Bundle", "type": "searchset", "entry": [{entry}]}}'), search)


def test_warnings_among_the_entries_are_left_out():
    """They are not what was searched for."""
    warning = '{"resourceType": "OperationOutcome", "issue": [{"severity": "warning", "code": "informational"}]}'
    entries = f'[{{"resource": {warning}, "search": {{"mode": "outcome"}}}}, {{"resource": {PATIENT}}}]'
    found = ask(lambda path: answer(f'{{"resourceType": "Bundle", "type": "searchset", "entry": {entries}}}'), search)
    assert [each["id"] for each in found] == ["p"]


@pytest.mark.parametrize("entries", ["[]", '[{"response": {"status": "400 Bad Request"}}]', "[7]", '[{"response": 7}]'])
def test_a_transaction_that_is_not_confirmed_is_an_error(entries):
    """Every entry must have succeeded; some servers answer a transaction like a batch."""
    said = f'{{"resourceType": "Bundle", "type": "transaction-response", "entry": {entries}}}'
    bundle = {"resourceType": "Bundle", "type": "transaction", "entry": [{}]}
    with pytest.raises(UpstreamError, match="did not confirm every entry"):
        ask(lambda path: answer(said), lambda s: s.transaction(bundle))


def batched(server):
    return server.read_and_search("Patient/p", [("Condition", {"patient": "p", "category": ["a", "b"]})])


READ = f'{{"resource": {PATIENT}, "response": {{"status": "200 OK"}}}}'
EMPTY = '{"resourceType": "Bundle", "type": "searchset"}'


@pytest.mark.parametrize(
    ("entries", "says"),
    [
        (f"[{READ}]", "did not answer every entry"),
        (f"[{READ}, {READ}, {READ}]", "did not answer every entry"),
        (f"[{READ}, 7]", "did not answer every entry"),
        (f'[{READ}, {{"resource": {EMPTY}}}]', "did not answer for Condition"),
        (f'[{READ}, {{"response": {{"status": "200 OK"}}}}]', "did not answer for Condition"),
        (f'[{READ}, {{"response": {{"status": "OK"}}}}]', "did not answer for Condition"),
        (f"[{READ}, {READ}]", "gave Patient for Condition where a Bundle is due"),
        (f'[{READ}, {{"resource": {EMPTY}, "response": {{"status": "500"}}}}]', r"Condition failed \(500\)"),
        (f'[{{"resource": {EMPTY}, "response": {{"status": "200"}}}}, {READ}]', "gave Bundle for Patient/p"),
    ],
)
def test_a_batch_is_answered_whole_or_not_at_all(entries, says):
    """Every entry, in the order of the questions."""
    said = f'{{"resourceType": "Bundle", "type": "batch-response", "entry": {entries}}}'
    with pytest.raises(UpstreamError, match=says):
        ask(lambda path: answer(said), batched)


def test_another_kind_of_bundle_is_no_answer_to_a_batch():
    """Such as the one that was sent."""
    said = f'{{"resourceType": "Bundle", "type": "batch", "entry": [{READ}, {READ}]}}'
    with pytest.raises(UpstreamError, match="did not answer every entry"):
        ask(lambda path: answer(said), batched)


def test_a_batch_is_asked_past_caches_with_its_parameters_escaped():
    """As the same searches would be one by one."""
    seen = []

    def view(path):
        seen.append((request.headers["Cache-Control"], request.get_json(force=True)))
        entries = f'[{READ}, {{"resource": {EMPTY}, "response": {{"status": "200 OK"}}}}]'
        return answer(f'{{"resourceType": "Bundle", "type": "batch-response", "entry": {entries}}}')

    assert [each["id"] for each in ask(view, batched)] == ["p"]
    cache, bundle = seen[0]
    urls = [entry["request"]["url"] for entry in bundle["entry"]]
    assert (cache, urls) == ("no-cache", ["Patient/p", "Condition?patient=p&category=a&category=b"])


def test_a_transaction_that_took_too_long_may_have_been_written():
    """The message says so: to send it again blindly would write it twice."""
    bundle = {"resourceType": "Bundle", "type": "transaction", "entry": []}
    with pytest.raises(UpstreamTimeout, match="may have been written"):
        ask(lambda path: answer(drip()), lambda s: s.transaction(bundle), timeout=0.3)


def test_only_transactions_are_written():
    """A batch would be written in part."""
    with pytest.raises(BadRequest, match="type transaction"):
        FhirServer("http://127.0.0.1:9/fhir").transaction({"resourceType": "Bundle", "type": "batch"})


def test_what_validate_says_no_to_is_an_answer():
    """HAPI gives 400 to what it cannot parse, with an OperationOutcome."""
    said = '{"resourceType": "OperationOutcome", "issue": [{"severity": "error", "code": "structure"}]}'
    found = ask(lambda path: answer(said, 400), lambda s: s.validate({"resourceType": "Patient", "x": 1}))
    assert found["issue"][0]["code"] == "structure"


@pytest.mark.parametrize(
    "reference", ["Patient", "Patient/../metadata", "https://elsewhere.example/Patient/p", "Patient/p?x=1"]
)
def test_only_references_of_this_server_are_read(reference):
    """Nothing else becomes part of an address."""
    with pytest.raises(BadRequest):
        FhirServer("http://127.0.0.1:9/fhir").read(reference)


@pytest.mark.parametrize(
    "base", ["ehr.example/fhir", "ftp://ehr.example", "http://a:b@ehr.example/fhir", "http://x/fhir?a=1"]
)
def test_a_base_is_an_address(base):
    """Said at once rather than with the first question."""
    with pytest.raises(BadRequest, match="has the form https://"):
        FhirServer(base)


def test_given_headers_are_sent():
    """An access token, say; and that no cache may answer."""
    seen: dict[str, str] = {}

    def view(path):
        seen.update(request.headers)
        return answer(PATIENT)

    app_headers = {"Authorization": "Bearer made-up"}
    app = Flask("attentive")
    app.add_url_rule("/fhir/<path:path>", "any", view)
    taken = listen("127.0.0.1", 0)
    with serving(app, taken), FhirServer(f"{address_of(taken)}/fhir", headers=app_headers) as server:
        server.read("Patient/p")
    assert (seen["Authorization"], seen["Cache-Control"]) == ("Bearer made-up", "no-cache")


def test_nobody_there_is_said():
    """A refused connection is the server's matter, and no timeout."""
    taken = listen("127.0.0.1", 0)
    base = f"{address_of(taken)}/fhir"
    taken.close()
    with FhirServer(base) as server, pytest.raises(UpstreamError, match="Check that the FHIR server runs"):
        server.capabilities()


@pytest.mark.parametrize(
    ("body", "headers"),
    [
        ("", {"Location": "http://127.0.0.1/fhir/Goal/7/_history/1"}),
        ("", {"Location": "Goal/7"}),
        ('{"resourceType": "Goal", "id": "7"}', {}),
        ('{"resourceType": "OperationOutcome"}', {"Location": "/fhir/Goal/7/_history/1"}),
    ],
)
@pytest.mark.parametrize(("status", "existing"), [(201, False), (200, True)])
def test_a_create_says_where_it_is_and_whether_it_was_there(body, headers, status, existing):
    """By the header Location, whole or relative, or by the resource that comes back."""
    made = ask(lambda path: answer(body, status, **headers), lambda s: s.create({"resourceType": "Goal"}))
    assert made == ("Goal/7", existing)


def test_a_create_without_a_place_may_have_been_written():
    """The message says so; a place of another type is none."""
    for headers in ({}, {"Location": "/fhir/Patient/7"}):
        with pytest.raises(UpstreamError, match="may have been written"):
            ask(lambda path, h=headers: answer("", 201, **h), lambda s: s.create({"resourceType": "Goal"}))


def test_conditions_of_writes_travel_as_headers():
    """If-None-Exist with the type before it, as HAPI needs, and percent-encoded; If-Match as a weak ETag."""
    seen = []

    def view(path):
        seen.append((request.method, path, request.headers.get("If-None-Exist"), request.headers.get("If-Match")))
        return answer("", 201, Location="Goal/7")

    goal = {"resourceType": "Goal", "id": "7"}
    ask(view, lambda s: s.create(goal, unless="identifier=a%7Cb"))
    ask(view, lambda s: s.update(goal, if_version="3"))
    ask(view, lambda s: s.delete("Goal/7"))
    assert seen == [
        ("POST", "Goal", "Goal?identifier=a%7Cb", None),
        ("PUT", "Goal/7", None, 'W/"3"'),
        ("DELETE", "Goal/7", None, None),
    ]


@pytest.mark.parametrize("status", [404, 410])
def test_what_is_gone_is_deleted(status):
    """It is no error; a refusal is."""
    ask(lambda path: answer("", status), lambda s: s.delete("Goal/7"))
    with pytest.raises(UpstreamRejected):
        ask(lambda path: answer("", 409), lambda s: s.delete("Goal/7"))


@pytest.mark.parametrize(
    ("said", "seconds"), [("17", 17), ("Mon, 05 Jan 1970 00:00:00 GMT", 0), ("soon", None), (None, None)]
)
def test_a_busy_server_says_for_how_long(said, seconds):
    """429 has its own error, with Retry-After as seconds; a write is not sent again by itself."""
    headers = {"Retry-After": said} if said else {}
    with pytest.raises(UpstreamBusy) as caught:
        ask(lambda path: answer("", 429, **headers), lambda s: s.create({"resourceType": "Goal"}))
    assert caught.value.retry_after == seconds


def test_a_write_that_is_redirected_goes_nowhere():
    """A resource of a patient is not sent after a redirect."""
    for write in (lambda s: s.create({"resourceType": "Goal"}), lambda s: s.delete("Goal/7")):
        with pytest.raises(UpstreamError, match=r"redirects a (POST|DELETE), which is not followed"):
            ask(lambda path: answer("", 307, Location="/fhir/else"), write)
