"""A closed loop of HTTP clients that never lets a failure pass unnamed."""

import http.client
import threading
import time
from collections import Counter
from dataclasses import dataclass, field


@dataclass
class Seen:
    """What the clients saw: answers by status, by instance, and failures by cause."""

    statuses: Counter = field(default_factory=Counter)
    instances: Counter = field(default_factory=Counter)
    failures: list = field(default_factory=list)

    @property
    def answered(self):
        return self.statuses[200]


class Load:
    """`workers` connections, each with one request in flight and `rate` requests a second at most.

    A page of the application ends with its instance's id in the header `X-Instance`.
    """

    def __init__(self, address, host=None, path="/", workers=4, rate=None):
        self.address, self.host, self.path = address, host, path
        self.seen = Seen()
        self.lock = threading.Lock()
        self.ending = threading.Event()
        self.pause_s = 0 if rate is None else workers / rate
        self.threads = [threading.Thread(target=self._work, daemon=True) for _ in range(workers)]

    def __enter__(self):
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self.end()

    def end(self):
        self.ending.set()
        for thread in self.threads:
            thread.join(30)
        return self.seen

    def snapshot(self):
        """Counts so far."""
        with self.lock:
            return Seen(Counter(self.seen.statuses), Counter(self.seen.instances), list(self.seen.failures))

    def _work(self):
        connection = None
        while not self.ending.is_set():
            began = time.monotonic()
            # A connection that the balancer closed while idle is not a failed request: it closes by
            # `Connection: close` or at its idle timeout, and http.client then opens another.
            connection = connection or http.client.HTTPConnection(*self.address, timeout=30)
            try:
                connection.request("GET", self.path, headers={"Host": self.host} if self.host else {})
                answer = connection.getresponse()
                body = answer.read()
                with self.lock:
                    self.seen.statuses[answer.status] += 1
                    if answer.status == 200:
                        self.seen.instances[answer.headers.get("X-Instance", "")] += 1
                    else:
                        self.seen.failures.append((time.time(), f"{answer.status} {body[:80]!r}"))
            except (OSError, http.client.HTTPException) as err:
                connection.close()
                connection = None
                with self.lock:
                    self.seen.failures.append((time.time(), f"{type(err).__name__}: {err}"))
            self.ending.wait(max(0.0, self.pause_s - (time.monotonic() - began)))
        if connection:
            connection.close()


def get(address, path="/", host=None):
    """One request: status, headers, body."""
    connection = http.client.HTTPConnection(*address, timeout=30)
    try:
        connection.request("GET", path, headers={"Host": host} if host else {})
        answer = connection.getresponse()
        return answer.status, answer.headers, answer.read()
    finally:
        connection.close()
