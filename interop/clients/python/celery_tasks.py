"""The application whose workers and callers `scenario_celery.py` runs; its settings come by environment variables."""

import json
import os
import time

from celery import Celery
from kombu import Exchange, Queue

FACTS = os.environ["FACTS"]
QUEUE = os.environ["QUEUE"]

app = Celery("weir", broker=os.environ["BROKER"], backend=os.environ["BACKEND"])
app.conf.update(
    broker_connection_retry_on_startup=True,
    broker_transport_options={"confirm_publish": True},
    result_expires=600,
    task_default_queue=QUEUE,
    task_track_started=True,
    worker_send_task_events=True,
    task_send_sent_event=True,
    worker_prefetch_multiplier=int(os.environ.get("PREFETCH", "4")),
)
if os.environ.get("QUEUE_TYPE") == "quorum":
    app.conf.update(
        task_default_queue_type="quorum",
        task_default_exchange_type="topic",
        task_default_exchange=QUEUE,
        task_default_routing_key=QUEUE,
        broker_native_delayed_delivery_queue_type="quorum",
    )
if os.environ.get("PRIORITIES"):
    exchange = Exchange(QUEUE, type="direct")
    app.conf.task_queues = [Queue(QUEUE, exchange, routing_key=QUEUE, queue_arguments={"x-max-priority": 10})]


def tell(**fact):
    """Writes down what happened, where the caller reads it, whoever was killed meanwhile."""
    with open(FACTS, "a") as facts:
        facts.write(json.dumps({**fact, "at": time.time()}) + "\n")


@app.task
def add(one, two):
    return one + two


@app.task
def total(numbers):
    return sum(numbers)


@app.task
def note(text):
    tell(note=text)
    return text


@app.task(bind=True, max_retries=3)
def falters(self, failures):
    tell(attempt=self.request.retries)
    if self.request.retries < failures:
        raise self.retry(countdown=0.3)
    return self.request.retries


@app.task(acks_late=True, reject_on_worker_lost=True)
def slow(number, seconds):
    tell(begun=number)
    time.sleep(seconds)
    tell(done=number)
    return number
