"""One call of the server, with retries. No redirects and no proxies: the key goes to one place."""
import http.client
import ipaddress
import json
import random
import ssl
import time
import urllib.parse

from .errors import ServerError

FIRST_WAIT_S = 0.1
LONGEST_WAIT_S = 10.0
ANSWER_MAX = 16 << 20


def _is_loopback(host):
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


class Server:
    def __init__(self, endpoint, api_key, timeout):
        parts = urllib.parse.urlsplit(endpoint)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError(f"{endpoint!r} is no http or https address")
        if parts.scheme == "http" and not _is_loopback(parts.hostname):
            raise ValueError("the API key is sent without TLS to this machine only; use https")
        if any(ord(c) < 33 or ord(c) > 126 for c in api_key):
            raise ValueError("the API key has characters that no key has")
        self._parts = parts
        self._key = api_key
        self._timeout = timeout
        self._context = ssl.create_default_context() if parts.scheme == "https" else None

    def _connect(self, timeout):
        host, port = self._parts.hostname, self._parts.port
        if self._context:
            return http.client.HTTPSConnection(host, port, timeout=timeout, context=self._context)
        return http.client.HTTPConnection(host, port, timeout=timeout)

    def _once(self, method, path, data, timeout):
        connection = self._connect(timeout)
        try:
            headers = {"x-api-key": self._key, "Content-Type": "application/json"}
            connection.request(method, self._parts.path.rstrip("/") + path, data, headers)
            answer = connection.getresponse()
            return answer.status, answer.getheader("Retry-After"), answer.read(ANSWER_MAX)
        finally:
            connection.close()

    def call(self, method, path, body=None, tries=3, extra_s=0, stop=None):
        """The parsed answer. Raises ServerError.

        No answer, 429 and 5xx are tried again after a wait that doubles, with jitter, or as long as the server asks;
        the event stop ends the waiting.
        """
        data = None if body is None else json.dumps(body).encode()
        wait = FIRST_WAIT_S
        for left in range(tries - 1, -1, -1):
            asked = None
            try:
                status, asked, text = self._once(method, path, data, self._timeout + extra_s)
                if 200 <= status < 300:
                    return json.loads(text)
                error = ServerError(f"{method} {path}: {status} {text[:300].decode(errors='replace')}",
                                    status)
            except (OSError, http.client.HTTPException, ValueError) as cause:
                status = 0
                error = ServerError(f"{method} {path}: {cause or type(cause).__name__}")
            if left == 0 or (status and status != 429 and status < 500):
                raise error
            pause = random.uniform(wait / 2, wait)
            if asked and asked.isdigit():
                pause = min(max(pause, int(asked)), LONGEST_WAIT_S)
            if stop.wait(pause) if stop else time.sleep(pause):
                raise error
            wait = min(wait * 2, LONGEST_WAIT_S)
        raise ValueError("tries is at least 1")
