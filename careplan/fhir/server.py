"""A FHIR R4 server, from the outside. The only module that opens a socket.

Nothing that arrives is trusted to be FHIR, to be complete, or to end. What goes wrong is one of the errors in
`careplan.errors`, whose messages name host and path, never a query string or anything of a patient's record.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from email.utils import parsedate_to_datetime
from types import TracebackType
from typing import Any
from urllib.parse import urlencode, urljoin, urlsplit

import requests
from requests.auth import AuthBase
from urllib3.exceptions import HTTPError as TransportError
from urllib3.exceptions import ReadTimeoutError
from urllib3.util import Retry

from careplan.errors import BadRequest, NotFound, UpstreamBusy, UpstreamError, UpstreamRejected, UpstreamTimeout
from careplan.fhir import json
from careplan.fhir.reach import PORTS, Reach, guarded_session, is_below
from careplan.fhir.tags import tagged, tagged_transaction

Resource = dict[str, Any]

FHIR_JSON = "application/fhir+json"
MAX_BYTES = 50_000_000
MAX_PAGES = 200
MAX_REDIRECTS = 3
MAX_RETRIES = 2
MAX_WAIT = 10  # seconds; a server that asks for more is told to the caller, who may have more patience

_CHUNK = 1 << 16
_TYPE = r"[A-Z][A-Za-z]{1,63}"
_ID = r"[A-Za-z0-9\-.]{1,64}"
_RESOURCE_TYPE = re.compile(_TYPE)
_REFERENCE = re.compile(f"{_TYPE}/{_ID}(/_history/{_ID})?")
_PLACE = re.compile(rf"(?:^|/)({_TYPE}/{_ID})(?:/_history/{_ID})?/?$")
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
# HAPI answers a repeated search from the last minute's result unless asked not to (hapi-fhir#647), also in a batch
_UNCACHED = {"Cache-Control": "no-cache"}
Observe = Callable[[str, str, float], None]
_MAY_HAVE_BEEN_WRITTEN = " It may have been written all the same: look before sending it again."


class FhirServer:
    """The server at *base_url*, such as `https://ehr.example/fhir/r4`.

    *timeout* (seconds) is for the connection, for each pause, and for an answer as a whole. A *session* that is given
    is used as it is (its authentication, its adapters) and not closed; without one, GETs are tried again after 429,
    502, 503 and 504, and nothing outside of *reach* is called. *auth* signs each request; after a 401, which is an
    answer from before anything was done, it may do so once more. Nothing else is ever sent twice. *observe* is told of
    every call: the method, how it ended (`2xx` to `5xx`, or `none` without an answer), and the seconds it took.
    *scopes* are those granted to our token, None when not known. *run*: what is created is tagged with it (`tags.py`).
    Raises BadRequest for an address that cannot be one.
    """

    def __init__(
        self,
        base_url: str,
        *,
        timeout: float = 30,
        headers: Mapping[str, str] | None = None,
        session: requests.Session | None = None,
        auth: AuthBase | None = None,
        reach: Reach | None = None,
        observe: Observe | None = None,
        scopes: str | None = None,
        run: str | None = None,
    ) -> None:
        self.base_url = _checked_base(base_url)
        self.scopes = scopes
        self._run = run
        self._timeout = timeout
        self._headers = {"Accept": FHIR_JSON, **(headers or {})}
        self._observe = observe
        self._own_session = session is None
        self._session = session or _session((reach or Reach()).including(base_url), auth)

    def __enter__(self) -> FhirServer:
        return self

    def __exit__(self, _: type[BaseException] | None, __: BaseException | None, ___: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Let go of idle connections. The server can still be used, and makes new ones."""
        if self._own_session:
            self._session.close()

    def trace(self, request_id: str) -> None:
        """Send *request_id* along from now on, so that a call can be found in the logs of both sides."""
        self._headers["X-Request-Id"] = request_id

    def read(self, reference: str) -> Resource:
        """The resource that *reference* names: `Patient/123`, a version of it, or the same with our base in front.

        Raises NotFound when it is not there, or no longer; UpstreamError when the answer is of another type.
        """
        relative = self._relative(reference)
        with _not_found_is_said(relative, self.base_url):
            found = self._get(f"{self.base_url}/{relative}")
        return self._expected(found, relative.partition("/")[0], relative)

    def search(self, resource_type: str, params: Mapping[str, str | Sequence[str]]) -> list[Resource]:
        """All matches of a search and what they include, from every page, each once.

        A list of medicines with a page missing looks exactly like a shorter list, so it is all or nothing:
        when any page fails, is not on this server, or says itself that something is missing, raises UpstreamError.
        """
        body, url = self._searched(resource_type, params)
        return self._whole(resource_type, _parsed(body, url), url, size=len(body))

    def first_page(self, resource_type: str, params: Mapping[str, str | Sequence[str]]) -> list[Resource]:
        """What the first page of a search holds: enough to see that it is answered, never to be taken for the list."""
        body, url = self._searched(resource_type, params)
        page = self._expected(_parsed(body, url), "Bundle", resource_type)
        return list(_resources_in(page, f"Page 1 of {resource_type}"))

    def read_and_search(
        self, reference: str, searches: Sequence[tuple[str, Mapping[str, str | Sequence[str]]]]
    ) -> list[Resource]:
        """What `read` and then each `search` (type, parameters) give, asked in one Bundle of type batch.

        Pages after the first are asked one by one. All or nothing, with the errors of `read` and `search`; an
        UpstreamRejected also when the server takes no batch.
        """
        relative = self._relative(reference)
        urls = [relative, *(f"{kind}?{urlencode(params, doseq=True)}" for kind, params in searches)]
        entries = [{"request": {"method": "GET", "url": url}} for url in urls]
        batch = {"resourceType": "Bundle", "type": "batch", "entry": entries}
        answer = self._expected(self._post(self.base_url, batch), "Bundle", "the answer")
        answers = _objects(answer.get("entry"))
        if answer.get("type") != "batch-response" or len(answers) != len(urls):
            raise UpstreamError(f"The FHIR server {_place(self.base_url)} did not answer every entry of the batch.")
        with _not_found_is_said(relative, self.base_url):
            first = self._answered(answers[0], relative)
        record = [self._expected(first, relative.partition("/")[0], relative)]
        for (kind, _), entry in zip(searches, answers[1:], strict=True):
            record += self._whole(kind, self._answered(entry, kind), f"{self.base_url}/", size=0)
        return record

    def transaction(self, bundle: Resource) -> Resource:
        """Send *bundle* to be written as a whole, and return the transaction-response.

        A 409 or 412 (somebody else was faster) is an UpstreamRejected with that `upstream_status`. After an
        UpstreamTimeout nobody knows whether it was written; the message says so.
        """
        if bundle.get("resourceType") != "Bundle" or bundle.get("type") != "transaction":
            raise BadRequest("Only a Bundle of type transaction is written as a whole.", expression="Bundle.type")
        sent = tagged_transaction(bundle, self._run) if self._run else bundle
        answer = self._expected(self._post(self.base_url, sent, writes=True), "Bundle", "the answer")
        entries = _objects(answer.get("entry"))
        statuses = [str(_object(entry.get("response")).get("status", "")) for entry in entries]
        if len(statuses) != len(bundle.get("entry", ())) or not all(status[:1] == "2" for status in statuses):
            raise UpstreamError(
                f"The FHIR server {_place(self.base_url)} did not confirm every entry of the transaction."
                + _MAY_HAVE_BEEN_WRITTEN
            )
        return answer

    def create(self, resource: Resource, *, unless: str | None = None) -> tuple[str, bool]:
        """Create *resource*: its reference, and whether it was there already, by the query *unless* (If-None-Exist).

        Raises UpstreamError also when the server does not say where it is, or says so of another type.
        """
        kind = str(resource["resourceType"])
        # HAPI takes the query only with the type and "?" before it (hapi-fhir#2842)
        condition = {"If-None-Exist": f"{kind}?{unless}"} if unless else {}
        sent = tagged(resource, self._run) if self._run else resource
        status, place = self._write("POST", f"{self.base_url}/{kind}", sent, condition)
        if place is None or not place.startswith(f"{kind}/"):
            raise UpstreamError(
                f"The FHIR server {_place(self.base_url)} does not say where it put a {kind}." + _MAY_HAVE_BEEN_WRITTEN
            )
        return place, status == 200

    def update(self, resource: Resource, *, if_version: str | None = None) -> None:
        """Put *resource* at its own id; with *if_version* only over that version of it."""
        condition = {"If-Match": f'W/"{if_version}"'} if if_version else {}
        sent = tagged(resource, self._run) if self._run and not if_version else resource
        self._write("PUT", f"{self.base_url}/{resource['resourceType']}/{resource['id']}", sent, condition)

    def delete(self, reference: str) -> None:
        """Delete what *reference* names; it is no error that it is gone already."""
        try:
            self._write("DELETE", f"{self.base_url}/{self._relative(reference)}", None, {})
        except UpstreamRejected as error:
            if error.upstream_status not in (404, 410):
                raise

    def validate(self, resource: Resource) -> Resource:
        """What the server itself thinks of *resource*: an OperationOutcome, which may well hold errors."""
        resource_type = str(resource.get("resourceType"))
        if not _RESOURCE_TYPE.fullmatch(resource_type):
            raise BadRequest("What is validated has a resourceType.", expression="resourceType")
        try:
            return self._expected(
                self._post(f"{self.base_url}/{resource_type}/$validate", resource), "OperationOutcome", "the answer"
            )
        except UpstreamRejected as error:
            # "no" is an answer too: HAPI says 400 to what it cannot parse, others 412 or 422 to what is invalid
            if error.upstream_status in (400, 412, 422) and error.outcome:
                return error.outcome
            raise

    def capabilities(self) -> Resource:
        """The server's CapabilityStatement."""
        return self._expected(self._get(f"{self.base_url}/metadata"), "CapabilityStatement", "metadata")

    def _relative(self, reference: str) -> str:
        relative = reference.removeprefix(f"{self.base_url}/")
        if not _REFERENCE.fullmatch(relative):
            raise BadRequest("A reference to read has the form Patient/123, on the configured server.")
        return relative

    def _answered(self, entry: Resource, what: str) -> Resource:
        """The resource in an entry of a batch-response, or the error that fits its status."""
        response, resource = _object(entry.get("response")), entry.get("resource")
        status = str(response.get("status", ""))[:3]
        if not status.isdigit() or (status[0] == "2" and not isinstance(resource, dict)):
            raise UpstreamError(f"The FHIR server {_place(self.base_url)} did not answer for {what} in the batch.")
        if status[0] != "2":
            outcome = _outcome(response.get("outcome")) or _outcome(resource)
            raise _error_of(int(status), f"{_place(self.base_url)}/{what}", outcome)
        return _object(resource)

    def _whole(self, resource_type: str, page: Resource, url: str, *, size: int) -> list[Resource]:
        """The matches and includes of *page*, which came from *url* with *size* bytes, and of all that follow it."""
        found: dict[tuple[str, str], Resource] = {}
        for number, each in enumerate(self._pages(resource_type, page, url, left=MAX_BYTES - size), start=1):
            for resource in _resources_in(each, f"Page {number} of {resource_type}"):
                key = (str(resource.get("resourceType")), str(resource.get("id", f"#{len(found)}")))
                found.setdefault(key, resource)
        return list(found.values())

    def _pages(self, resource_type: str, page: Resource, url: str, *, left: int) -> Iterator[Resource]:
        page = self._expected(page, "Bundle", resource_type)
        following = self._next(page, url)
        yield page
        seen: set[str] = set()
        for number in range(2, MAX_PAGES + 1):
            if following is None:
                return
            if following in seen:
                raise _incomplete(resource_type, "the link to the next page leads back to an earlier one")
            seen.add(following)
            try:
                body, url = self._fetch(following, None, limit=left)
                page = self._expected(_parsed(body, url), "Bundle", resource_type)
                following = self._next(page, url)
            except UpstreamError as error:
                raise _incomplete(resource_type, f"page {number} failed: {error.message}") from error
            left -= len(body)
            yield page
        if following is not None:
            raise _incomplete(resource_type, f"it has more than {MAX_PAGES} pages")

    def _next(self, page: Resource, page_url: str) -> str | None:
        """The link to the next page, verbatim; it must stay on this server, since our credentials go with it."""
        links = [link.get("url") for link in _objects(page.get("link")) if link.get("relation") == "next"]
        if not links:
            return None
        if len(links) > 1 or not isinstance(links[0], str):
            raise UpstreamError(f"The FHIR server {_place(page_url)} gave a link to the next page without one address.")
        url = _joined(page_url, links[0])
        if not is_below(url, self.base_url):
            raise UpstreamError(
                f"The link to the next page leads to {_place(url)}, outside {_place(self.base_url)}, and is not "
                "followed. The base address that the FHIR server has of itself must be the one used here."
            )
        return url

    def _searched(self, resource_type: str, params: Mapping[str, str | Sequence[str]]) -> tuple[bytes, str]:
        if not _RESOURCE_TYPE.fullmatch(resource_type):
            raise BadRequest("A search is for one resource type, such as MedicationStatement.")
        return self._fetch(f"{self.base_url}/{resource_type}", params, limit=MAX_BYTES)

    def _get(self, url: str) -> Resource:
        body, final_url = self._fetch(url, None, limit=MAX_BYTES)
        return _parsed(body, final_url)

    def _fetch(self, url: str, query: Any, *, limit: int) -> tuple[bytes, str]:
        """GET *url*, past the server's caches, and past redirects that stay below the base."""
        headers = {**self._headers, **_UNCACHED}
        for _ in range(MAX_REDIRECTS + 1):
            response = self._send("GET", url, params=query, headers=headers)
            with response:
                if response.status_code not in _REDIRECTS:
                    return self._body(response, limit), response.url
                url, query = _joined(response.url, response.headers.get("Location", "")), None
            if not is_below(url, self.base_url):
                raise UpstreamError(
                    f"{_place(self.base_url)} redirects to {_place(url)}, which is not followed. If that is where the "
                    "FHIR server is, use its address."
                )
        raise UpstreamError(f"{_place(self.base_url)} redirects more than {MAX_REDIRECTS} times.")

    def _post(self, url: str, resource: Resource, *, writes: bool = False) -> Resource:
        return _parsed(self._deliver(url, resource, writes=writes), url)

    def _deliver(self, url: str, resource: Resource, *, writes: bool = False) -> bytes:
        headers = {**self._headers, "Content-Type": FHIR_JSON, **_UNCACHED}
        body = json.dumps(resource).encode()
        try:
            with self._send("POST", url, data=body, headers=headers) as response:
                if response.status_code in _REDIRECTS:
                    raise UpstreamError(f"{_place(url)} redirects a POST, which is not followed. Use its new address.")
                return self._body(response, MAX_BYTES)
        except UpstreamTimeout as error:
            if writes:
                raise UpstreamTimeout(error.message + _MAY_HAVE_BEEN_WRITTEN) from error
            raise

    def _write(
        self, method: str, url: str, resource: Resource | None, headers: Mapping[str, str]
    ) -> tuple[int, str | None]:
        """Status and place of what was written, by the header Location or the resource that came back."""
        sent = {**self._headers, **_UNCACHED, "Prefer": "return=minimal", **headers}
        body = None if resource is None else json.dumps(resource).encode()
        if body is not None:
            sent["Content-Type"] = FHIR_JSON
        try:
            with self._send(method, url, data=body, headers=sent) as response:
                if response.status_code in _REDIRECTS:
                    raise UpstreamError(f"{_place(url)} redirects a {method}, which is not followed.")
                said = self._body(response, MAX_BYTES)
                location = response.headers.get("Location") or response.headers.get("Content-Location") or ""
                return response.status_code, _placed(location, said)
        except UpstreamTimeout as error:
            raise UpstreamTimeout(error.message + _MAY_HAVE_BEEN_WRITTEN) from error

    def _send(self, method: str, url: str, **options: Any) -> requests.Response:
        started, ended = time.monotonic(), "none"
        try:
            response = self._ask(method, url, **options)
            ended = f"{response.status_code // 100}xx"
            return response
        finally:
            if self._observe:
                self._observe(method, ended, time.monotonic() - started)

    def _ask(self, method: str, url: str, **options: Any) -> requests.Response:
        try:
            return self._session.request(
                method, url, timeout=self._timeout, stream=True, allow_redirects=False, **options
            )
        except requests.Timeout as error:
            raise self._too_slow(url) from error
        except requests.exceptions.SSLError as error:
            raise UpstreamError(
                f"The certificate of {_place(url)} is not trusted, or it does not speak TLS."
            ) from error
        except requests.ConnectionError as error:
            raise UpstreamError(
                f"{_place(url)} does not answer, or hung up. Check that the FHIR server runs at this address."
            ) from error
        except requests.RequestException as error:
            raise UpstreamError(f"{_place(url)} could not be asked ({type(error).__name__}).") from error

    def _body(self, response: requests.Response, limit: int) -> bytes:
        """The whole answer, if it says yes; otherwise the error that fits its status."""
        body = self._read(response, limit)
        if 200 <= response.status_code < 300:
            return body
        place, again = _place(response.url), _when_again(response)
        raise _error_of(response.status_code, place, _outcome_in(body), again=again, seconds=_wait_of(response))

    def _read(self, response: requests.Response, limit: int) -> bytes:
        deadline = time.monotonic() + self._timeout
        chunks: list[bytes] = []
        size = 0
        try:
            # read1 returns what has arrived: a server that sends a byte a second meets the deadline
            while chunk := response.raw.read1(_CHUNK, decode_content=True):
                chunks.append(chunk)
                size += len(chunk)
                if size > limit:
                    raise UpstreamError(f"{_place(response.url)} sent more than {MAX_BYTES // 10**6} MB. Ask for less.")
                if time.monotonic() > deadline:
                    raise self._too_slow(response.url)
        except ReadTimeoutError as error:
            raise self._too_slow(response.url) from error
        except (TransportError, OSError) as error:
            raise UpstreamError(f"{_place(response.url)} broke off in the middle of its answer.") from error
        _check_length(response, chunks)
        return b"".join(chunks)

    def _too_slow(self, url: str) -> UpstreamTimeout:
        return UpstreamTimeout(f"{_place(url)} did not answer within {self._timeout:g} seconds.")

    def _expected(self, resource: Resource, resource_type: str, what: str) -> Resource:
        if resource.get("resourceType") == resource_type:
            return resource
        found = resource.get("resourceType")
        name = found if isinstance(found, str) and _RESOURCE_TYPE.fullmatch(found) else "no resource"
        raise UpstreamError(f"{_place(self.base_url)} gave {name} for {what} where a {resource_type} is due.")


class _BoundedRetry(Retry):
    """Waits as `Retry-After` says, but never longer than `MAX_WAIT`."""

    def get_retry_after(self, response: Any) -> float | None:
        try:
            seconds = super().get_retry_after(response)
        except TransportError:  # neither seconds nor a date
            return None
        return None if seconds is None else min(seconds, MAX_WAIT)


def _session(reach: Reach, auth: AuthBase | None) -> requests.Session:
    retry = _BoundedRetry(
        total=MAX_RETRIES,
        connect=0,
        read=False,  # False, not 0: the timeout itself is raised rather than "too many retries"
        other=0,
        redirect=0,
        status=MAX_RETRIES,
        allowed_methods={"GET"},
        status_forcelist=(429, 502, 503, 504),
        backoff_factor=0.2,
        backoff_max=MAX_WAIT,
        raise_on_status=False,
    )
    return guarded_session(reach, retry=retry, auth=auth)


def _checked_base(base_url: str) -> str:
    try:
        parts = urlsplit(base_url)
        good = parts.scheme in PORTS and parts.hostname and parts.port != 0 and "@" not in parts.netloc
    except ValueError:
        good = False
    if not good or parts.query or parts.fragment:
        raise BadRequest("The address of a FHIR server has the form https://ehr.example/fhir, with no ? # or @ in it.")
    return base_url.rstrip("/")


def _joined(base: str, link: str) -> str:
    """*link* as seen from *base*; what is no address stays as it is, and is nobody's."""
    try:
        return urljoin(base, link)
    except ValueError:
        return link


def _place(url: str) -> str:
    """Host and path of *url*: what may be said aloud."""
    try:
        parts = urlsplit(url)
        port = f":{parts.port}" if parts.port else ""
    except ValueError:
        return "an address that is none"
    return f"{parts.hostname or ''}{port}{parts.path}"


def _parsed(body: bytes, url: str) -> Resource:
    try:
        value = json.loads(body)
    except BadRequest as error:
        raise UpstreamError(
            f"{_place(url)} answered with {_described(body, error)} instead of FHIR JSON. Check that this is the base "
            "address of an R4 server, and that no sign-in page or proxy stands before it."
        ) from error
    if not isinstance(value, dict):
        raise UpstreamError(f"{_place(url)} answered with JSON that is not a resource.")
    return value


def _described(body: bytes, error: BadRequest) -> str:
    if not body.strip():
        return "nothing"
    return "an HTML or XML page" if body.lstrip()[:1] == b"<" else f"something unusable ({error.message.rstrip('.')})"


def _check_length(response: requests.Response, chunks: list[bytes]) -> None:
    """urllib3's `read1` does not notice a body shorter than its Content-Length."""
    promised = response.headers.get("Content-Length", "")
    if promised.isdigit() and not response.headers.get("Content-Encoding") and sum(map(len, chunks)) < int(promised):
        raise UpstreamError(f"{_place(response.url)} broke off in the middle of its answer.")


@contextmanager
def _not_found_is_said(relative: str, base_url: str) -> Iterator[None]:
    """What is not there, or no longer, is a NotFound."""
    try:
        yield
    except UpstreamRejected as error:
        if error.upstream_status not in (404, 410):
            raise
        gone = "has deleted" if error.upstream_status == 410 else "has no"
        raise NotFound(f"The FHIR server {_place(base_url)} {gone} {relative}.") from error


def _error_of(
    status: int, place: str, outcome: Resource | None, *, again: str = "", seconds: float | None = None
) -> UpstreamError:
    if status == 429:
        return UpstreamBusy(f"{place} has too much to do (429).{again}", retry_after=seconds)
    if status == 504:
        return UpstreamTimeout(f"{place} waited in vain for the server behind it (504). Try again later.")
    if status >= 500:
        return UpstreamError(f"{place} failed ({status}).{again} Try again later.")
    return UpstreamRejected(
        f"{place} refused ({status}{_codes_of(outcome)}). {_advice(status)}".rstrip(),
        upstream_status=status,
        outcome=outcome,
    )


def _advice(status: int) -> str:
    if status == 401:
        return "The sign-in has ended or is missing: sign in again."
    if status == 403:
        return "The sign-in does not cover this: ask for wider access."
    if status in (404, 410):
        return "It is not there: check the base address of the FHIR server, or the id."
    if status in (409, 412):
        return "It was changed meanwhile, or exists already: read it again and decide."
    return ""  # what the server itself says is carried along


def _when_again(response: requests.Response) -> str:
    said = response.headers.get("Retry-After", "")
    if said.isdigit():
        return f" It asks to come back in {said} seconds."
    try:
        return f" It asks to come back at {parsedate_to_datetime(said).isoformat()}."
    except ValueError:
        return ""


def _wait_of(response: requests.Response) -> float | None:
    """Seconds until it may be asked again, by Retry-After as a number or a date."""
    said = response.headers.get("Retry-After", "")
    if said.isdigit():
        return float(said)
    try:
        return max(0.0, parsedate_to_datetime(said).timestamp() - time.time())
    except ValueError:
        return None


def _placed(location: str, body: bytes) -> str | None:
    """`Type/id` in a Location, else of the resource in the body."""
    match = _PLACE.search(location)
    if match:
        return match[1]
    try:
        value = json.loads(body) if body.strip() else None
    except BadRequest:
        return None
    named = f"{value.get('resourceType')}/{value.get('id')}" if isinstance(value, dict) else ""
    return named if re.fullmatch(f"{_TYPE}/{_ID}", named) else None


def _outcome_in(body: bytes) -> Resource | None:
    try:
        value = json.loads(body)
    except BadRequest:
        return None
    return _outcome(value)


def _outcome(value: Any) -> Resource | None:
    return value if isinstance(value, dict) and value.get("resourceType") == "OperationOutcome" else None


def _codes_of(outcome: Resource | None) -> str:
    """The issue types only: diagnostics may quote the record."""
    codes = [issue.get("code") for issue in _objects((outcome or {}).get("issue"))]
    known = dict.fromkeys(code for code in codes if isinstance(code, str) and re.fullmatch(r"[a-z\-]{1,30}", code))
    return f", {', '.join(known)}" if known else ""


def _resources_in(page: Resource, what: str) -> Iterator[Resource]:
    """Matches and includes of one page. Raises UpstreamError if the page itself says that something is missing."""
    if page.get("type") != "searchset":
        raise UpstreamError(f"{what} is not a searchset Bundle, so the list is incomplete.")
    entries = page.get("entry", [])
    if not isinstance(entries, list):
        raise UpstreamError(f"{what} has an entry that is not a list, so the list is incomplete.")
    for entry in entries:
        resource = entry.get("resource") if isinstance(entry, dict) else None
        if not isinstance(resource, dict):
            raise UpstreamError(f"{what} has an entry without a resource, so the list is incomplete.")
        mode = _object(entry.get("search")).get("mode")
        if mode == "outcome" or resource.get("resourceType") == "OperationOutcome":
            _check_outcome(resource, what)
        else:
            yield resource


def _check_outcome(outcome: Resource, what: str) -> None:
    if any(issue.get("severity") in ("error", "fatal") for issue in _objects(outcome.get("issue"))):
        raise UpstreamError(f"{what} came with an error{_codes_of(outcome)}, so the list is incomplete.")


def _incomplete(resource_type: str, why: str) -> UpstreamError:
    return UpstreamError(f"The list of {resource_type} is incomplete: {why.rstrip('.')}.")


def _object(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _objects(value: Any) -> list[dict[str, Any]]:
    return [each for each in value if isinstance(each, dict)] if isinstance(value, list) else []
