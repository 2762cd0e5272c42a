"""A Celery application on kombu and py-amqp, with real workers. DIRECTORY is where they write what they did."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time

import celery
from amqp_proxy import Proxy
from report import BOOTSTRAP, eventually, name_of, run

ADDRESSES = BOOTSTRAP.split(",")
HERE = os.path.dirname(os.path.abspath(__file__))
DIRECTORY = tempfile.mkdtemp(prefix="celery-", dir=os.environ.get("DIRECTORY"))
CASE_SECONDS = 60


class Application:
    """One queue with its callers here and its workers in processes of their own."""

    def __init__(self, backend="rpc://", worker_broker=None, **settings):
        self.queue = name_of("celery")
        self.facts = os.path.join(DIRECTORY, self.queue + ".facts")
        open(self.facts, "w").close()
        far = worker_broker or ADDRESSES[-1]
        self.settings = {
            "BROKER": "pyamqp://guest:guest@%s//" % ADDRESSES[0],
            "BACKEND": backend,
            "QUEUE": self.queue,
            "FACTS": self.facts,
            **settings,
        }
        self.worker_settings = {**self.settings, "BROKER": "pyamqp://guest:guest@%s//" % far}
        self.workers = []
        for name in ["QUEUE_TYPE", "PRIORITIES", "PREFETCH"]:
            os.environ.pop(name, None)
        os.environ.update(self.settings)
        sys.modules.pop("celery_tasks", None)
        import celery_tasks

        self.tasks = celery_tasks
        self.app = celery_tasks.app

    def worker(self, *options, pool="threads", concurrency=2):
        name = name_of("w")
        log = open(os.path.join(DIRECTORY, name + ".log"), "w")
        command = [sys.executable, "-m", "celery", "-A", "celery_tasks", "worker", "--loglevel=INFO", "-n", name + "@weir"]
        command += ["-P", pool, "-c", str(concurrency), *options]
        environment = {**os.environ, **self.worker_settings, "C_FORCE_ROOT": "1"}
        process = subprocess.Popen(
            command, cwd=HERE, env=environment, stdout=log, stderr=log, start_new_session=True
        )
        process.log = log.name
        self.workers.append(process)
        eventually(lambda: " ready." in open(log.name).read() or process.poll() is not None, seconds=40)
        assert process.poll() is None, open(log.name).read()[-500:]
        return process

    def told(self, key):
        with open(self.facts) as facts:
            lines = [json.loads(line) for line in facts]
        return [line for line in lines if key in line]

    def end(self):
        for process in self.workers:
            kill(process, signal.SIGTERM)
        with contextlib.suppress(Exception):
            self.app.amqp.queues  # noqa: B018
            with self.app.connection_for_write() as connection:
                connection.default_channel.queue_delete(self.queue)
        self.app.close()


def kill(process, how):
    if process.poll() is not None:
        return
    # A worker's children are in its session.
    if how == signal.SIGKILL:
        os.killpg(process.pid, how)
    else:
        process.send_signal(how)
    try:
        process.wait(15)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def case(body, **settings):
    def over(signum, frame):
        raise TimeoutError("not within %d s" % CASE_SECONDS)

    def wrapped():
        signal.signal(signal.SIGALRM, over)
        signal.alarm(CASE_SECONDS)
        application = Application(**settings)
        try:
            body(application)
        finally:
            signal.alarm(0)
            application.end()

    return wrapped


def tasks(application):
    application.worker()
    results = [application.tasks.add.delay(number, 1) for number in range(100)]
    assert [result.get(timeout=30) for result in results] == list(range(1, 101))


def prefork(application):
    application.worker(pool="prefork")
    results = [application.tasks.add.delay(number, 2) for number in range(50)]
    assert [result.get(timeout=30) for result in results] == list(range(2, 52))


def retries(application):
    application.worker()
    assert application.tasks.falters.delay(2).get(timeout=30) == 2
    assert [fact["attempt"] for fact in application.told("attempt")] == [0, 1, 2]
    try:
        application.tasks.falters.delay(9).get(timeout=30)
    except celery.exceptions.Retry as error:
        raise AssertionError("it ends") from error
    except Exception as error:
        assert "Retry" in repr(error) or "retries" in repr(error).lower(), repr(error)
    else:
        raise AssertionError("three retries are all")
    assert len(application.told("attempt")) == 3 + 4


def countdown(application):
    application.worker()
    asked = time.time()
    application.tasks.note.apply_async(["late"], countdown=2)
    application.tasks.note.apply_async(["later"], countdown=3)
    for number in range(20):
        # More than the prefetch count: the worker raises it for those that wait.
        application.tasks.note.apply_async(["soon %d" % number], countdown=1)
    application.tasks.note.delay("now").get(timeout=20)
    eventually(lambda: len(application.told("note")) == 23)
    told = {fact["note"]: fact["at"] - asked for fact in application.told("note")}
    assert told["now"] < 1.9 and told["late"] >= 1.9 and told["later"] >= 2.9, told


def priorities(application):
    application.app.amqp.queues
    for priority in [1, 5, 9, 3]:
        application.tasks.note.apply_async(["%d" % priority], priority=priority)
    application.worker(pool="solo", concurrency=1)
    eventually(lambda: len(application.told("note")) == 4)
    assert [fact["note"] for fact in application.told("note")] == ["9", "5", "3", "1"]


def canvas(application):
    application.worker()
    t = application.tasks
    assert celery.chain(t.add.s(1, 2), t.add.s(3), t.add.s(4))().get(timeout=30) == 10
    assert celery.group(t.add.s(n, n) for n in range(10))().get(timeout=30) == [2 * n for n in range(10)]
    assert celery.chord([t.add.s(n, n) for n in range(10)], t.total.s())().get(timeout=50) == 90
    nested = celery.chain(celery.group(t.add.s(1, n) for n in range(3)), t.total.s())
    assert nested().get(timeout=50) == 6


def control(application):
    worker = application.worker()
    name = os.path.basename(worker.log)[: -len(".log")] + "@weir"
    inspect = application.app.control.inspect([name], timeout=10)
    assert inspect.ping() == {name: {"ok": "pong"}}
    [queue] = inspect.active_queues()[name]
    assert queue["name"] == application.queue, queue
    application.app.control.rate_limit("celery_tasks.note", "10/s", destination=[name], reply=True, timeout=10)
    result = application.tasks.note.apply_async(["never"], countdown=4)
    result.revoke()
    eventually(lambda: result.id in inspect.revoked()[name])
    eventually(lambda: inspect.stats()[name]["total"] is not None)


def events(application):
    heard = []
    with application.app.connection_for_read() as connection:
        receiver = application.app.events.Receiver(connection, handlers={"*": heard.append})

        def capture():
            with contextlib.suppress(Exception):
                receiver.capture(limit=None, timeout=25, wakeup=False)

        thread = threading.Thread(target=capture, daemon=True)
        thread.start()
        application.worker()
        done = application.tasks.add.delay(1, 1)
        done.get(timeout=20)

        def kinds():
            return {event["type"] for event in list(heard) if event.get("uuid") == done.id}

        eventually(lambda: kinds() >= {"task-sent", "task-received", "task-started", "task-succeeded"})
        receiver.should_stop = True


def worker_killed(application):
    worker = application.worker(pool="prefork")
    for number in range(8):
        application.tasks.slow.delay(number, 0.5)
    eventually(lambda: len(application.told("begun")) >= 2)
    kill(worker, signal.SIGKILL)
    done = {fact["done"] for fact in application.told("done")}
    assert len(done) < 8
    application.worker(pool="prefork")
    eventually(lambda: {fact["done"] for fact in application.told("done")} == set(range(8)), seconds=40)


def child_killed(application):
    worker = application.worker(pool="prefork", concurrency=1)
    result = application.tasks.slow.delay(1, 3)
    eventually(lambda: application.told("begun"))
    children = subprocess.run(["pgrep", "-P", str(worker.pid)], capture_output=True, text=True).stdout.split()
    os.kill(int(children[0]), signal.SIGKILL)
    assert result.get(timeout=40) == 1
    assert len(application.told("begun")) == 2


def quorum_queue(application):
    application.worker()
    results = [application.tasks.add.delay(number, 1) for number in range(50)]
    assert [result.get(timeout=30) for result in results] == list(range(1, 51))
    asked = time.time()
    application.tasks.note.apply_async(["late"], countdown=5)
    # Through the queues of native delayed delivery: the worker holds nothing meanwhile.
    eventually(lambda: application.told("note"), seconds=30)
    [fact] = application.told("note")
    assert fact["at"] - asked >= 3.9, fact["at"] - asked


def connection_lost(body):
    def wrapped():
        with Proxy(ADDRESSES[-1]) as proxy:
            case(lambda application: body(application, proxy), worker_broker=proxy.address)()

    return wrapped


@connection_lost
def worker_reconnects(application, proxy):
    application.worker()
    assert application.tasks.add.delay(1, 1).get(timeout=20) == 2
    for number in range(3):
        proxy.cut()
        assert application.tasks.add.delay(number, 1).get(timeout=40) == number + 1


run(
    "%s/%s/%s" % (celery.__version__, __import__("kombu").__version__, __import__("amqp").__version__),
    [
        ("tasks", case(tasks)),
        ("prefork", case(prefork)),
        ("retries", case(retries)),
        ("countdown", case(countdown, PREFETCH="2")),
        ("priorities", case(priorities, PRIORITIES="1", PREFETCH="1")),
        ("canvas", case(canvas, backend="file://" + DIRECTORY)),
        ("control", case(control)),
        ("events", case(events)),
        ("worker-killed", case(worker_killed, PREFETCH="1")),
        ("child-killed", case(child_killed, PREFETCH="1")),
        ("quorum-queue", case(quorum_queue, QUEUE_TYPE="quorum")),
        ("worker-reconnects", worker_reconnects),
    ],
)
