"""Tokens (JWT) that a scenario signs with openssl, and the key sets that go with them."""

import base64
import json
import subprocess
import time

from own_nodes import LIMIT_SECONDS, file, made, openssl


def text(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


class Key:
    """An RSA key of an identity provider."""

    def __init__(self, name):
        self.name = name
        made("genrsa", "-out", name + ".token.key", "2048")

    def jwk(self):
        _, told, _ = openssl("rsa", "-in", self.name + ".token.key", "-noout", "-modulus")
        modulus = bytes.fromhex(told.strip().split("=")[1])
        return {"kty": "RSA", "use": "sig", "alg": "RS256", "kid": self.name, "n": text(modulus), "e": "AQAB"}

    def token(self, name, seconds=600, **claims):
        now = int(time.time())
        said = {"sub": name, "iss": "https://id.example", "aud": "weir", "iat": now, "exp": now + seconds, **claims}
        header = {"alg": "RS256", "kid": self.name}
        message = ".".join(text(json.dumps(part).encode()) for part in (header, said))
        signing = ["openssl", "dgst", "-sha256", "-sign", file(self.name + ".token.key")]
        signed = subprocess.run(signing, input=message.encode(), capture_output=True, timeout=LIMIT_SECONDS, check=True)
        return message + "." + text(signed.stdout)


def key_set(*keys):
    return json.dumps({"keys": [key.jwk() for key in keys]})
