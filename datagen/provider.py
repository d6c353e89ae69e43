"""The only door to the `openai` package: one request out, the server's bytes back, nothing retried here.

The package's own retries are off: ours (datagen/client.py) are counted, paced and logged. Its fast
transport (aiohttp) carries the request; the answer's body is handed on as bytes, because what a server
sends is checked by datagen/validate.py and not believed.
"""

import asyncio
from collections.abc import Mapping
from typing import NamedTuple
from urllib.parse import urlsplit

from data.errors import BadInput, one_line

# The transport's own names (aiohttp's): on the way up a dropped connection is turned into a time-out.
NEVER_CONNECTED = {"ClientConnectorError", "ClientConnectorDNSError", "ConnectionTimeoutError"}
TIMED_OUT = {"SocketTimeoutError", "ReadTimeout", "WriteTimeout", "PoolTimeout"}


class Reply(NamedTuple):
    """What came back over HTTP."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class Lost(Exception):
    """No whole answer came: whether the server did the work, and bills it, is not known unless `unsent`."""

    def __init__(self, cause: str, detail: str, unsent: bool = False) -> None:
        super().__init__(detail)
        self.cause = cause
        """"timeout" or "server_gone"."""
        self.unsent = unsent
        """True when no connection was made, so that nothing can have been billed."""


class Provider:
    """One server. Use as an async context manager, so that its connections are closed."""

    def __init__(self, base_url: str, api_key: str, connections: int, timeout_s: float) -> None:
        import httpx2
        from openai import AsyncOpenAI, DefaultAioHttpClient

        self._timeout_s = timeout_s
        self._raw = httpx2.Response
        transport = DefaultAioHttpClient(
            limits=httpx2.Limits(max_connections=connections, max_keepalive_connections=connections),
            timeout=httpx2.Timeout(timeout_s, connect=min(10.0, timeout_s)),
        )
        self._openai = AsyncOpenAI(base_url=base_url, api_key=api_key, max_retries=0, http_client=transport)

    async def send(self, body: bytes) -> Reply:
        """Post one chat completion request, as JSON bytes.

        Raises:
            Lost: no whole answer within the time limit, or the connection broke.
        """
        import openai

        try:
            async with asyncio.timeout(self._timeout_s):
                answer = await self._openai.post(
                    "/chat/completions",
                    cast_to=self._raw,
                    content=body,
                    options={"headers": {"Content-Type": "application/json"}},
                )
                return Reply(answer.status_code, answer.headers, answer.content)
        except openai.APIStatusError as error:
            return Reply(error.status_code, error.response.headers, error.response.content)
        except TimeoutError:
            raise Lost("timeout", f"no answer within {self._timeout_s:g} s") from None
        except openai.APIConnectionError as error:  # APITimeoutError is one of them
            raise self._lost(error) from None

    def _lost(self, error: Exception) -> Lost:
        """What broke, by the errors behind the one that came up."""
        chain: list[BaseException] = [error]
        while (cause := chain[-1].__cause__) is not None:
            chain.append(cause)
        names = {type(link).__name__ for link in chain}
        if names & TIMED_OUT:
            return Lost("timeout", f"no answer within {self._timeout_s:g} s")
        words = one_line(str(chain[-1]) or type(chain[-1]).__name__, 200)
        return Lost("server_gone", words, unsent=bool(names & NEVER_CONNECTED))

    async def __aenter__(self) -> "Provider":
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._openai.close()


def checked_url(base_url: str) -> str:
    """The address of a server in one spelling: no slash at the end; BadInput says what is wrong with it."""
    parts = urlsplit(base_url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise BadInput(f"--base-url {base_url!r} is no address; write it as http://127.0.0.1:8000/v1")
    if parts.username or parts.password:
        raise BadInput("--base-url holds a password; give the key in the environment (see --api-key-env)")
    return base_url.rstrip("/")
