"""Runs cases and tells how each ended, one JSON object a line: see interop/src/suites/lines.rs."""

import inspect
import json
import os
import sys
import time
import traceback
import uuid

CODECS = ["none", "gzip", "snappy", "lz4", "zstd"]
BOOTSTRAP = sys.argv[1]
ONLY = os.environ.get("CASE", "")


class Skip(Exception):
    """The client has no such thing."""


def name_of(text):
    """A name that no other case and no other run uses."""
    return "%s-%s" % (text, uuid.uuid4().hex[:8])


def tell(line):
    print(json.dumps(line), flush=True)


def eventually(check, seconds=20.0, pause=0.2):
    """What `check` returns once it returns something true."""
    end = time.monotonic() + seconds
    while True:
        value = check()
        if value or time.monotonic() > end:
            assert value, "not within %s s: %s" % (seconds, inspect.getsource(check).strip())
            return value
        time.sleep(pause)


def refused(call, *names):
    """Fails unless `call` raises one of the exceptions or error codes that are named."""
    try:
        call()
    except Exception as error:  # every client has its own
        told = "%s %s" % (type(error).__name__, error)
        assert any(name in told for name in names), "refused otherwise: " + told
        return
    raise AssertionError("not refused with " + " or ".join(names))


def end_case(name, failure):
    if failure is None:
        tell({"case": name, "ending": "passed"})
    elif isinstance(failure, Skip):
        tell({"case": name, "ending": "skipped", "detail": str(failure)})
    else:
        at = traceback.extract_tb(failure.__traceback__)
        ours = [frame for frame in at if os.path.dirname(__file__) in frame.filename] or at
        line = "%s (line %s)" % (ours[-1].line, ours[-1].lineno)
        detail = "%s: %s at %s" % (type(failure).__name__, failure, line)
        tell({"case": name, "ending": "failed", "detail": detail[:800]})


def wanted(cases):
    return [(name, case) for name, case in cases if ONLY in name]


def run(version, cases):
    tell({"version": version})
    for name, case in wanted(cases):
        failure = None
        try:
            case()
        except Exception as error:
            failure = error
        end_case(name, failure)


async def run_async(version, cases):
    import asyncio

    tell({"version": version})
    for name, case in wanted(cases):
        failure = None
        try:
            await asyncio.wait_for(case(), 90)
        except Exception as error:
            failure = error
        end_case(name, failure)
