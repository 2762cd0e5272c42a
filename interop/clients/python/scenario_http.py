"""The admin API with requests, httpx and curl, and schemathesis over its own document, on nodes of their own."""

import json
import os
import subprocess
import sys
import time

import confluent_kafka
import httpx
import pika
import requests
import schemathesis
from own_nodes import DIRECTORY, LIMIT_SECONDS, Node, authority, file, issue
from report import eventually, name_of, run

authority("ca")
for each in ["node", "alice"]:
    issue(each)
NAMING = ["--kafka-tls-principal-rules", "RULE:^.*CN=([^,]*).*$/$1/,DEFAULT"]
NODE = Node("api", "--tls-client-auth", "want", "--tls-client-ca-file", file("ca.pem"), *NAMING)
# Another one for what breaks things at random: its cluster stays open, so that nothing is kept from it.
FUZZED = Node("fuzzed", has_tls=False)
ROOT = ("root", "secret")
NODE.add_user(*ROOT, "--tag", "administrator")
NODE.weir("user", "grant", "root", "--configure", ".*", "--write", ".*", "--read", ".*")


def base(node=NODE, port="admin"):
    scheme = "https" if port == "admin-tls" else "http"
    return "%s://%s/api/v1" % (scheme, node.ports[port])


def session(user=ROOT):
    made = requests.Session()
    made.auth = user
    return made


def ask(method, path, body=None, user=ROOT, expected=None):
    answer = session(user).request(method, base() + path, json=body, timeout=LIMIT_SECONDS)
    if expected:
        assert answer.status_code == expected, "%s %s: %s %s" % (method, path, answer.status_code, answer.text)
    return answer


def topics_of_requests_are_kafkas():
    name = name_of("topic")
    ask("PUT", "/topics/" + name, {"partitions": 3, "config": {"retention.ms": "3600000"}}, expected=201)
    ask("PUT", "/topics/" + name, {"partitions": 3}, expected=204)
    options = {"bootstrap.servers": NODE.ports["kafka"], "security.protocol": "sasl_plaintext"}
    options.update({"sasl.mechanism": "PLAIN", "sasl.username": ROOT[0], "sasl.password": ROOT[1]})
    producer = confluent_kafka.Producer(options)
    for number in range(30):
        producer.produce(name, b"%d" % number)
    assert producer.flush(LIMIT_SECONDS) == 0
    rows = ask("GET", "/topics/%s/partitions" % name, expected=200).json()["rows"]
    assert sum(row["end_offset"] for row in rows) == 30, rows
    consumer = confluent_kafka.Consumer({**options, "group.id": name, "auto.offset.reset": "earliest"})
    consumer.subscribe([name])
    eventually(lambda: consumer.poll(1.0))
    members = ask("GET", "/groups/" + name, expected=200).json()["members"]
    assert len(members) == 1 and len(members[0]["assigned"]) == 3, members
    ask("DELETE", "/groups/" + name, expected=409)
    consumer.close()
    moved = ask("POST", "/groups/%s/reset-offsets" % name, {"topics": [name], "to": "latest"}, expected=200).json()
    assert sum(move["after"] for move in moved["moves"]) == 30, moved
    offsets = ask("GET", "/groups/%s/offsets" % name, expected=200).json()["rows"]
    assert [row["lag"] for row in offsets] == [0, 0, 0], offsets
    ask("DELETE", "/groups/" + name, expected=204)
    ask("DELETE", "/topics/" + name, expected=204)
    ask("GET", "/topics/" + name, expected=404)


def queues_of_httpx_are_amqps():
    name = name_of("queue/with?odd#chars")
    path = "/vhosts/%2F/queues/" + requests.utils.quote(name, safe="")
    with httpx.Client(auth=ROOT, base_url=base(), timeout=LIMIT_SECONDS) as client:
        assert client.put(path, json={"arguments": {"x-max-length": 100}}).status_code == 201
        host, port = NODE.ports["amqp"].rsplit(":", 1)
        credentials = pika.PlainCredentials(*ROOT)
        connection = pika.BlockingConnection(pika.ConnectionParameters(host, int(port), credentials=credentials))
        channel = connection.channel()
        channel.confirm_delivery()
        for number in range(5):
            channel.basic_publish("", name, b"%d" % number)
        peeked = client.post(path + "/peek", json={"count": 2}).json()
        assert [row["body"] for row in peeked["rows"]] == ["0", "1"], peeked
        other = name_of("other")
        assert client.put("/vhosts/%2F/queues/" + other).status_code == 201
        assert client.post(path + "/move", json={"destination": other, "count": 3}).json() == {"messages": 3}
        assert client.delete(path + "?if_empty=true").status_code == 409
        purged = client.post(path + "/purge", headers={"content-type": "application/json"})
        assert purged.json() == {"messages": 2}, purged.text
        assert client.delete(path + "?if_empty=true").status_code == 204
        assert channel.queue_declare(other, passive=True).method.message_count == 3
        connection.close()


def pages_of_a_long_list():
    names = sorted(name_of("page") for _ in range(25))
    for name in names:
        ask("PUT", "/vhosts/%2F/queues/" + name, expected=201)
    seen, after = [], None
    while True:
        parameters = {"limit": 7, **({"after": after} if after else {})}
        page = session().get(base() + "/vhosts/%2F/queues", params=parameters, timeout=LIMIT_SECONDS).json()
        seen += [row["name"] for row in page["rows"]]
        after = page["next"]
        if not after:
            break
    assert [name for name in seen if name.startswith("page-")] == names, seen


def curl(*words):
    given = ["curl", "-sS", "--max-time", "30", "-o", "-", "-w", "\n%{http_code}", *words]
    done = subprocess.run(given, capture_output=True, timeout=LIMIT_SECONDS)
    assert done.returncode == 0, done.stderr.decode()
    body, status = done.stdout.decode().rsplit("\n", 1)
    return int(status), json.loads(body) if body else None


def logins_of_curl():
    user = ["-u", "%s:%s" % ROOT]
    assert curl(*user, base() + "/cluster")[0] == 200
    status, problem = curl(base() + "/cluster")
    assert (status, problem["error"]) == (401, "unauthorized"), problem
    began = time.monotonic()
    assert curl("-u", "root:wrong", base() + "/cluster")[0] == 401
    assert time.monotonic() - began >= 0.1
    secure = ["--cacert", file("ca.pem")]
    assert curl(*secure, *user, base(port="admin-tls") + "/cluster")[0] == 200
    alice = [*secure, "--cert", file("alice.pem"), "--key", file("alice.key")]
    assert curl(*alice, base(port="admin-tls") + "/cluster")[0] == 403
    NODE.weir("acl", "add", "allow", "alice", "describe", "cluster")
    assert curl(*alice, base(port="admin-tls") + "/cluster")[0] == 200
    assert curl(*user, "-X", "POST", base() + "/cluster/balance")[0] == 415


def users_lose_what_is_taken_from_them_at_once():
    name = name_of("user")
    ask("PUT", "/users/" + name, {"password": "one"}, expected=201)
    acl = {"principal": name, "host": "*", "effect": "allow", "operation": "describe", "resource": "cluster"}
    ask("POST", "/acls", {**acl, "pattern": "literal", "name": "kafka-cluster"}, expected=204)
    kept = session((name, "one"))
    ask_kept = lambda: kept.get(base() + "/cluster", timeout=LIMIT_SECONDS).status_code
    assert ask_kept() == 200
    ask("DELETE", "/acls?principal=" + name, expected=200)
    assert ask_kept() == 403
    ask("PUT", "/users/%s/password" % name, {"password": "two"}, expected=204)
    assert ask_kept() == 401
    kept.auth = (name, "two")
    assert ask_kept() == 403
    ask("DELETE", "/users/" + name, expected=204)
    assert ask_kept() == 401


def schemathesis_finds_nothing():
    # Not asked for: what ends logins or the node itself, by which everything else would fail.
    left_out = ["putUser", "removeNode", "drainNode"]
    checks = "not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance"
    checks += ",negative_data_rejection,unsupported_method"
    command = [os.path.join(os.path.dirname(sys.executable), "schemathesis"), "run", base(FUZZED) + "/openapi.json"]
    command += ["--url", base(FUZZED), "--checks", checks, "--max-examples", "20", "--seed", "1", "--no-color"]
    command += [word for name in left_out for word in ["--exclude-operation-id", name]]
    command += ["--suppress-health-check", "all", "--request-timeout", "40"]
    done = subprocess.run(command, cwd=DIRECTORY, capture_output=True, timeout=540)
    told = done.stdout.decode()
    assert done.returncode == 0, told[-700:]


CASES = [
    ("http-topics", topics_of_requests_are_kafkas),
    ("http-queues", queues_of_httpx_are_amqps),
    ("http-pages", pages_of_a_long_list),
    ("http-logins", logins_of_curl),
    ("http-rules", users_lose_what_is_taken_from_them_at_once),
    ("http-schemathesis", schemathesis_finds_nothing),
]

VERSIONS = "requests %s, httpx %s, schemathesis %s" % (requests.__version__, httpx.__version__, schemathesis.__version__)
run(VERSIONS, CASES)
