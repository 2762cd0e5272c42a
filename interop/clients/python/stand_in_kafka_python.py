"""Stands in for `test.service`, which kafka-python's archive leaves out: it starts brokers, and ours runs already."""

import sys
import types


class ExternalService:
    def __init__(self, host, port):
        self.host, self.port = host, port

    def stop(self):
        pass


service = types.ModuleType("test.service")
service.ExternalService = ExternalService
service.SpawnedService = None
sys.modules["test.service"] = service
