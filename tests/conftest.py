"""Fixtures: one daemon for each module and set-up, and the proof that it left nothing."""

import pytest

from elastane import BINARY, SETUPS, Daemon, traces, until, why_not
from webhook import Webhook


def pytest_configure(config):
    config.addinivalue_line("markers", "slow: takes a minute or more")
    config.addinivalue_line("markers", "setups(*setups): the set-ups to run in, when not all three")
    if not BINARY.is_file():
        raise pytest.UsageError(f"{BINARY} is not built; run `cargo xtask test --only clients`")


def pytest_generate_tests(metafunc):
    """Modules that name SETUPS run once for each; the others once, in the first that the machine allows."""
    if "setup" in metafunc.fixturenames:
        wanted = getattr(metafunc.module, "SETUPS", None)
        if wanted is None:
            wanted = [next((setup for setup in SETUPS if not why_not(setup)), SETUPS[0])]
        metafunc.parametrize("setup", wanted, ids=lambda setup: setup.name, scope="module")


@pytest.fixture(scope="module")
def setup(request):
    return request.param


@pytest.fixture(scope="module")
def clean_machine():
    """Nothing that was not there before the module is there after it."""
    before = traces()
    yield

    def left():
        return sorted(traces() - before)

    until(lambda: not left(), 10, lambda: f"the machine to be clean: {left()}")


@pytest.fixture(scope="module")
def webhook():
    """Where daemons of modules that say WEBHOOK post their notifications."""
    webhook = Webhook()
    yield webhook
    webhook.close()


@pytest.fixture(scope="module")
def daemon(request, setup, clean_machine):
    if reason := why_not(setup):
        pytest.skip(f"{setup.name}: {reason}")
    options = list(getattr(request.module, "OPTIONS", []))
    if getattr(request.module, "WEBHOOK", False):
        options += ["--webhook", request.getfixturevalue("webhook").url]
    daemon = Daemon(setup, *options, time_scale=getattr(request.module, "TIME_SCALE", 60))
    try:
        yield daemon.start()
    finally:
        daemon.destroy()


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    """A failure shows the end of the daemon's log."""
    outcome = yield
    report = outcome.get_result()
    if report.when == "call":
        item.passed = report.passed
    daemon = getattr(item, "funcargs", {}).get("daemon")
    if report.failed and daemon is not None and daemon.log.exists():
        report.sections.append(("the daemon's log", daemon.log_text()))
