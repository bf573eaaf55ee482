"""Objects of S3 and of stores that speak like it. Credentials, region and endpoint come from boto3's standard chain only:
environment, shared files, the machine's role."""

from __future__ import annotations

import threading
import time
from functools import lru_cache
from typing import Any

from bannermap.embedding.fetching.retrying import RETRIED_STATUSES, Transient
from bannermap.embedding.statuses import Failure

CHUNK_BYTES = 65536
MISSING = frozenset({"NoSuchKey", "NoSuchBucket", "404", "NotFound"})
_MAKING = threading.Lock()


def read_object(address: str, max_bytes: int, connect_timeout_s: float, read_timeout_s: float, end: float) -> bytes:
    """Bytes of ``s3://bucket/key``; the key is taken as it stands, without percent-decoding, as the AWS tools do.

    Args:
        address: see above.
        max_bytes: cap, checked against the announced length and while reading.
        connect_timeout_s: seconds for connecting.
        read_timeout_s: seconds without a byte.
        end: `time.monotonic` value after which no further chunk is read.

    Raises:
        Failure: typed; `Transient` where another attempt may help.
    """
    bucket, _, key = address.partition("://")[2].partition("/")
    if not bucket or not key:
        raise Failure("invalid_address", f"{address} names no bucket and key")
    from botocore import exceptions as known

    try:
        answer = _client(connect_timeout_s, read_timeout_s).get_object(Bucket=bucket, Key=key)
        return _body(answer, max_bytes, end)
    except known.ClientError as error:
        raise _typed(error) from None
    except (known.NoCredentialsError, known.PartialCredentialsError, known.CredentialRetrievalError) as error:
        raise Failure("access_denied", str(error)) from None
    except known.ParamValidationError as error:
        raise Failure("invalid_address", str(error)) from None
    except (known.ConnectTimeoutError, known.ReadTimeoutError) as error:
        raise Transient("timeout", str(error)) from None
    except (known.IncompleteReadError, known.ResponseStreamingError) as error:
        raise Transient("truncated_body", str(error)) from None
    except known.SSLError as error:
        raise Failure("tls_error", str(error)) from None
    except known.HTTPClientError as error:
        raise Transient("connection_error", str(error)) from None


def _client(connect_timeout_s: float, read_timeout_s: float) -> Any:
    with _MAKING:  # boto3's sessions are not for several threads at once; the client that one makes is
        return _made_client(connect_timeout_s, read_timeout_s)


@lru_cache(maxsize=4)
def _made_client(connect_timeout_s: float, read_timeout_s: float) -> Any:
    import boto3
    from botocore.config import Config

    once = {"total_max_attempts": 1, "mode": "standard"}  # attempts are counted and spaced by the fetcher, for all sources alike
    config = Config(connect_timeout=connect_timeout_s, read_timeout=read_timeout_s, retries=once, max_pool_connections=64)
    return boto3.session.Session().client("s3", config=config)


def _body(answer: Any, max_bytes: int, end: float) -> bytes:
    stream, parts, size = answer["Body"], [], 0
    try:
        if answer["ContentLength"] > max_bytes:
            raise Failure("too_large", f"{answer['ContentLength']} bytes, the limit is {max_bytes}")
        while chunk := stream.read(CHUNK_BYTES):
            size += len(chunk)
            if size > max_bytes:
                raise Failure("too_large", f"more than {max_bytes} bytes")
            if time.monotonic() > end:
                raise Failure("timeout", f"the deadline passed after {size} bytes")
            parts.append(chunk)
    finally:
        stream.close()
    return b"".join(parts)


def _typed(error: Any) -> Failure:
    code = str(error.response.get("Error", {}).get("Code", ""))
    status = int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))
    if code in MISSING or status == 404:
        return Failure("not_found", str(error))
    if status in (401, 403) or code in ("InvalidAccessKeyId", "ExpiredToken", "InvalidToken"):
        return Failure("access_denied", str(error))
    if status in RETRIED_STATUSES:
        return Transient("http_error", str(error))
    return Failure("http_error", str(error))
