"""A Flask app on a socket: with threads for the demo, with gunicorn otherwise."""

from __future__ import annotations

import errno
import gc
import os
import shutil
import socket
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from flask import Flask
from werkzeug.wsgi import ClosingIterator

WORKERS, THREADS = 2, 32
"""A thread mostly waits for the FHIR server; with fewer than there are callers, these would wait for a thread."""


def listen(host: str, port: int) -> socket.socket:
    """Take the port. Raises OSError with a sentence that says what to do when that is not possible."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    taken = socket.socket(family, socket.SOCK_STREAM)
    taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        taken.bind((host, port))
        taken.listen(128)
    except OSError as error:
        taken.close()
        raise OSError(_why_not(host, port, error)) from error
    return taken


def address_of(taken: socket.socket) -> str:
    """The URL of a listening socket."""
    host, port = taken.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


class _UnderWay:
    """*app*, and how many of its requests are not answered yet."""

    def __init__(self, app: Flask) -> None:
        self._app = app
        self._count = 0
        self._changed = threading.Condition()

    def __call__(self, environ: Any, start_response: Any) -> Any:
        self._add(1)
        try:
            return ClosingIterator(self._app(environ, start_response), lambda: self._add(-1))
        except BaseException:
            self._add(-1)
            raise

    def wait(self, seconds: float) -> None:
        """Wait until all are answered, at most *seconds*."""
        with self._changed:
            self._changed.wait_for(lambda: self._count == 0, seconds)

    def _add(self, number: int) -> None:
        with self._changed:
            self._count += number
            self._changed.notify_all()


@contextmanager
def serving(app: Flask, taken: socket.socket, *, finish_within: float = 0) -> Iterator[None]:
    """Serve *app* in threads while the block runs, and then until all is answered, at most *finish_within* seconds.

    Until then it still listens: in the demo a plan that is being written goes to a server of the same process. Logs no
    request line: paths hold patient ids.
    """
    from werkzeug.serving import WSGIRequestHandler, make_server

    class Quiet(WSGIRequestHandler):
        def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
            pass

    host, port = taken.getsockname()[:2]
    under_way = _UnderWay(app)
    server = make_server(host, port, under_way, threaded=True, request_handler=Quiet, fd=taken.fileno())
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.1})
    thread.start()
    try:
        yield
    finally:
        under_way.wait(finish_within)
        server.shutdown()
        thread.join()
        server.server_close()
        taken.close()


@contextmanager
def shared_metrics() -> Iterator[None]:
    """Let the workers of this process keep their numbers together; without it each would tell of itself alone.

    prometheus_client reads the variable when it is first imported, so that must happen within the block.
    """
    owner, folder = os.getpid(), tempfile.mkdtemp(prefix="careplan-metrics-")
    os.environ["PROMETHEUS_MULTIPROC_DIR"] = folder
    try:
        yield
    finally:
        if os.getpid() == owner:  # a worker, which is a fork, leaves here too
            del os.environ["PROMETHEUS_MULTIPROC_DIR"]
            shutil.rmtree(folder, ignore_errors=True)


def _load_ahead() -> None:
    """Load what the first plan of each worker would wait seconds for, before they are forked: then they share it."""
    from careplan.fhir.conformance import r4b_problems
    from careplan.fhir.scopes import WRITING

    for kind in ("Bundle", *WRITING):
        r4b_problems({"resourceType": kind})
    gc.freeze()  # else the first collection copies all of it into each worker


def run_gunicorn(app: Flask, taken: socket.socket, *, finish_within: int) -> None:
    """Serve *app* until SIGTERM, and what is under way then for *finish_within* seconds more."""
    from gunicorn.app.base import BaseApplication  # type: ignore[import-untyped]
    from gunicorn.glogging import Logger  # type: ignore[import-untyped]
    from gunicorn.workers.gthread import ThreadWorker  # type: ignore[import-untyped]

    from careplan.web.health import unready_when

    class Wordless(Logger):  # type: ignore[misc]
        """What gunicorn says of a request quotes its address and headers. That something happened is enough."""

        def warning(self, msg: str, *args: Any, **kwargs: Any) -> None:
            super().warning(msg if args else str(msg).partition(":")[0], *args, **kwargs)

        def exception(self, msg: str, *args: Any, **kwargs: Any) -> None:
            error = sys.exc_info()[0]
            super().error("%s (%s)", str(msg).partition("%")[0].strip(), error.__name__ if error else "no error")

    class Finishing(ThreadWorker):  # type: ignore[misc]
        """While a worker finishes, nobody accepts on its copy of the socket: callers would wait there for nothing."""

        def set_accept_enabled(self, enabled: bool) -> None:
            super().set_accept_enabled(enabled)
            if not (enabled or self.alive):
                for each in self.sockets:
                    each.close()

    options = {
        "bind": [f"fd://{taken.detach()}"],  # gunicorn closes it once it has made its own of it
        "worker_class": Finishing,
        "workers": WORKERS,
        "threads": THREADS,
        "timeout": 120,
        "graceful_timeout": finish_within,
        "post_worker_init": lambda worker: unready_when(app, lambda: not worker.alive),
        "logger_class": Wordless,
        "control_socket_disable": True,  # gunicorn 25 and later; nobody asked for a socket in the home folder
    }

    class Service(BaseApplication):  # type: ignore[misc]
        def load_config(self) -> None:
            for name, value in options.items():
                if name in self.cfg.settings:
                    self.cfg.set(name, value)

        def load(self) -> Flask:
            return app

    _load_ahead()
    Service().run()


def _why_not(host: str, port: int, error: OSError) -> str:
    if error.errno == errno.EADDRINUSE:
        other = port + 1 if port < 65535 else 8000
        return (
            f"Port {port} on {host} is in use. Take another one: CAREPLAN_PORT={other} make demo (or careplan serve)."
        )
    if error.errno == errno.EACCES:
        return f"Port {port} needs rights this user does not have. Take one above 1023: CAREPLAN_PORT=8000."
    return f"Cannot listen on {host}, port {port}: {error.strerror or error}. Check CAREPLAN_HOST and CAREPLAN_PORT."
