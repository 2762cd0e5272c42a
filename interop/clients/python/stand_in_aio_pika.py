"""Stands in for aio-pika's `tests.docker_client`: it starts brokers, and ours runs already."""

import os
import sys
import types


class ContainerInfo:
    id = "ours"
    host = os.environ["AMQP_HOST"]
    ports = {"5672/tcp": int(os.environ["AMQP_PORT"])}


class DockerClient:
    def __init__(self, host):
        pass

    def run(self, image, ports, environment=None):
        return ContainerInfo

    def kill(self, container):
        pass

    def remove(self, container):
        pass


client = types.ModuleType("tests.docker_client")
client.ContainerInfo = ContainerInfo
client.DockerClient = DockerClient
client.DockerHostInfo = ContainerInfo
client.DockerNotAvailableError = RuntimeError
client.check_docker_available = lambda: None
sys.modules["tests.docker_client"] = client
