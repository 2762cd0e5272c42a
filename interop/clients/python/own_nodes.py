"""Nodes that a scenario starts itself, and certificates for them."""

import atexit
import os
import shutil
import subprocess
import tempfile

from report import Skip

WEIR = os.environ["WEIR"]
DIRECTORY = tempfile.mkdtemp(prefix="weir-nodes-")
LIMIT_SECONDS = 60
atexit.register(shutil.rmtree, DIRECTORY, True)


def file(name):
    return os.path.join(DIRECTORY, name)


def openssl(*words):
    done = subprocess.run(["openssl", *words], cwd=DIRECTORY, stdin=subprocess.DEVNULL, capture_output=True, timeout=LIMIT_SECONDS)
    return done.returncode, done.stdout.decode("latin-1"), done.stderr.decode("latin-1")


def made(*words):
    code, _, error = openssl(*words)
    assert code == 0, error


def issue(name, authority="ca", other_name="DNS:localhost"):
    request = ["req", "-newkey", "rsa:2048", "-nodes", "-subj", "/O=Example/CN=" + name]
    made(*request, "-addext", "subjectAltName=" + other_name, "-keyout", name + ".key", "-out", name + ".csr")
    signing = ["x509", "-req", "-days", "2", "-in", name + ".csr", "-CA", authority + ".pem", "-CAkey", authority + ".key"]
    made(*signing, "-CAcreateserial", "-copy_extensions", "copy", "-out", name + ".pem")


def authority(name):
    made("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=" + name, "-keyout", name + ".key", "-out", name + ".pem")


class Node:
    """A node with all plain doors, and with TLS on every door where it has a certificate."""

    def __init__(self, name, *options, has_tls=True, host="127.0.0.1"):
        ports = [word for port in ["kafka", "amqp", "admin"] for word in ["--" + port, host + ":0"]]
        ports += ["--cluster", "127.0.0.1:0"]
        if has_tls:
            ports += [word for port in ["kafka-tls", "amqps", "admin-tls"] for word in ["--" + port, "localhost:0"]]
            ports += ["--tls-certificate-file", file("node.pem"), "--tls-key-file", file("node.key")]
        command = [WEIR, "serve", "--data-dir", file(name), *ports, *options]
        with open(file(name + ".log"), "wb") as log:
            self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=log)
        self.ports = {}
        for line in self.process.stdout:
            door, address = line.decode().split(None, 1)
            self.ports[door] = address.strip()
            if door == "node":
                break
        atexit.register(self.process.kill)

    def weir(self, *words, text=""):
        """What a command says that asks the node."""
        command = [WEIR, *words, "--node", self.ports["cluster"]]
        done = subprocess.run(command, input=text.encode(), capture_output=True, timeout=LIMIT_SECONDS)
        assert done.returncode == 0, done.stderr.decode()
        return done.stdout.decode()

    def add_user(self, name, password, *options):
        self.weir("user", "add", name, "--password-file", "-", *options, text=password)

    def kafka_tool(self, name, *words):
        """One of Kafka's tools, as the administrator `root` with the password `root-secret`: how it ends, and what it says."""
        path = os.environ.get("KAFKA_CLASS_PATH")
        if not path:
            raise Skip("Kafka's tools are not there")
        with open(file("root.properties"), "w") as properties:
            properties.write("security.protocol=SASL_PLAINTEXT\nsasl.mechanism=SCRAM-SHA-256\nsasl.jaas.config=")
            properties.write("org.apache.kafka.common.security.scram.ScramLoginModule required")
            properties.write(' username="root" password="root-secret";\n')
        where = ["--bootstrap-server", self.ports["kafka"], "--command-config", file("root.properties")]
        quiet = "-Dorg.slf4j.simpleLogger.defaultLogLevel=error"
        command = ["java", "-Xmx256m", "-XX:TieredStopAtLevel=1", quiet, "-cp", path, name, *where, *words]
        done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, timeout=LIMIT_SECONDS, cwd=DIRECTORY)
        return done.returncode, done.stdout.decode() + done.stderr.decode()
