"""Tells how each of an upstream suite's tests ended: `pytest -p pytest_tell`."""

from report import tell

ENDINGS = {"passed": "passed", "failed": "failed", "skipped": "skipped"}


def pytest_runtest_logreport(report):
    is_early = report.when == "setup" and not report.passed
    if report.when != "call" and not is_early:
        return
    detail = ""
    if report.failed:
        crash = getattr(report.longrepr, "reprcrash", None)
        detail = crash.message if crash else str(report.longrepr)[-300:]
    elif report.skipped:
        detail = str(report.longrepr[-1] if isinstance(report.longrepr, tuple) else "")
    # pytest's own signs of progress stand on the line.
    print()
    name = report.nodeid.rsplit("/", 1)[-1]
    tell({"case": name, "ending": ENDINGS[report.outcome], "detail": detail[:800]})
