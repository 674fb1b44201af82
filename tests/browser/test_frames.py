"""Who may show the app in a frame, as a browser has it: a page of another origin, if the site has named it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from flask import Flask
from playwright.sync_api import Browser, expect

from careplan.serving import address_of, listen, serving
from careplan.settings import Ehr, Settings
from careplan.web import create_app


@contextmanager
def charts(count: int, *, named: int) -> Iterator[list[str]]:
    """So many pages of an EHR, each of an origin of its own, that show the app; the app knows the first *named*."""
    sockets = [listen("127.0.0.1", 0) for _ in range(count + 1)]
    here, *origins = map(address_of, sockets)
    settings = Settings(
        app_ehrs=(Ehr("http://127.0.0.1:9/fhir"),),
        app_base=here,
        app_client_id="app",
        app_frames=tuple(origins[:named]),
        log_level="error",
    )
    with ExitStack() as stack:
        stack.enter_context(serving(create_app(settings), sockets[0]))
        for socket in sockets[1:]:
            stack.enter_context(serving(chart(f"{here}/smart/callback"), socket))
        yield origins


def chart(address: str) -> Flask:
    app = Flask("chart")
    app.add_url_rule("/", view_func=lambda: f'<title>chart</title><iframe src="{address}"></iframe>')
    return app


def test_only_a_page_that_the_site_has_named_shows_the_app(browser: Browser):
    """Its frame has the app's page in it; in that of another origin the browser shows nothing of ours, and says why."""
    page = browser.new_page()  # not the fixture: that the policy refuses something is what is tested
    said: list[str] = []
    page.on("console", lambda message: said.append(message.text))
    ours = page.frame_locator("iframe").get_by_role("heading", name="The app is not open")
    with charts(2, named=1) as (friend, stranger):
        page.goto(friend)
        expect(ours).to_be_visible()
        assert not any("frame-ancestors" in each for each in said)
        page.goto(stranger)
        page.wait_for_load_state("networkidle")
        expect(ours).to_have_count(0)
    page.close()
    assert any("frame-ancestors" in each for each in said), said
