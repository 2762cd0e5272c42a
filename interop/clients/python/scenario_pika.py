"""The cases of interop/clients/CASES-AMQP.md with pika."""

import pika
import pika_messages
import pika_queues
import pika_routing
import pika_sessions
from amqp_ground import limited
from report import run

CASES = pika_sessions.CASES + pika_routing.CASES + pika_messages.CASES + pika_queues.CASES

run(pika.__version__, [(name, limited(case)) for name, case in CASES])
