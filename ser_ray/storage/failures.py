"""What stores raise, turned into one sentence with the cause and the mend."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pyarrow as pa

from ser_ray.errors import MissingInput, SerRayError, StorageFailed
from ser_ray.storage.uris import shown

# Codes of S3's answers and names of botocore's and aiohttp's errors.
EXPIRED = {"ExpiredToken", "ExpiredTokenException", "TokenRefreshRequired", "RequestExpired"}
EXPIRED |= {"UnauthorizedSSOTokenError", "SSOTokenLoadError", "TokenRetrievalError", "LoginTokenLoadError"}
UNKNOWN = {
    "InvalidAccessKeyId",
    "SignatureDoesNotMatch",
    "InvalidToken",
    "InvalidClientTokenId",
    "AuthFailure",
}
UNKNOWN |= {"UnrecognizedClientException", "NotSignedUp", "AccountProblem", "AllAccessDisabled", "401"}
UNKNOWN |= {"AuthFailure", "InvalidSecurity", "RequestTimeTooSkewed"}
NONE = {"NoCredentialsError", "PartialCredentialsError", "ProfileNotFound", "NoAuthTokenError"}
DENIED = {"AccessDenied", "AccessDeniedException", "KMS.AccessDeniedException", "Forbidden", "403"}
ELSEWHERE = {"PermanentRedirect", "AuthorizationHeaderMalformed", "IllegalLocationConstraintException", "301"}
BUSY = {
    "SlowDown",
    "ServiceUnavailable",
    "Throttling",
    "ThrottlingException",
    "RequestThrottled",
    "503",
    "429",
}
BUSY |= {"RequestThrottled", "RequestLimitExceeded", "TooManyRequests", "BandwidthLimitExceeded"}
BUSY |= {"TooManyRequestsException"}
ILL = {"InternalError", "BadGateway", "GatewayTimeout", "RequestTimeout", "500", "502", "504"}
UNREACHED = {"EndpointConnectionError", "ConnectTimeoutError", "ProxyConnectionError", "ClientConnectorError"}
BROKEN = {"ClientPayloadError", "IncompleteReadError", "IncompleteRead", "ResponseStreamingError"}
BROKEN |= {"AioReadTimeoutError"}
LOST = {"ConnectionClosedError", "ReadTimeoutError", "HTTPClientError", "FSTimeoutError", "TimeoutError"}
LOST |= {"ConnectionResetError", "ServerDisconnectedError", "ConnectionError", "CredentialRetrievalError"}

AGAIN = "Run again to go on: what was finished is kept."


@contextmanager
def clear_errors(uri: str) -> Iterator[None]:
    """Turn what file systems raise at `uri` into errors of ours; others pass as they are."""
    try:
        yield
    except SerRayError:
        raise
    except Exception as error:
        told = _told(shown(uri), _names(error)) or _told_of_disk(shown(uri), error)
        if told is None:
            raise
        raise told from error


def is_broken(error: BaseException) -> bool:
    """Whether a body ended before its time or stood still, so that it is worth reading anew."""
    return bool(_names(error) & BROKEN)


def _names(error: BaseException | None) -> set[str]:
    """The codes and the kinds of an error and of what it came from."""
    names: set[str] = set()
    while error is not None:
        answer: dict[str, Any] = getattr(error, "response", None) or {}
        if isinstance(answer, dict) and "Error" in answer:
            code = str(answer["Error"].get("Code", ""))
            status = answer.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
            return names | {code} | ({str(status)} if status >= 500 else set())
        names |= {kind.__name__ for kind in type(error).__mro__}
        names |= {str(getattr(error, status, "")) for status in ("code", "status")}  # of gcsfs and aiohttp
        error = error.__cause__ or error.__context__
    return names


def _told(uri: str, names: set[str]) -> SerRayError | None:
    def named(known: set[str]) -> str:
        return ", ".join(sorted(names & known))

    if "NoSuchBucket" in names:
        return MissingInput(f"no such bucket: {uri}. Check its name, and the endpoint that is asked for it.")
    if which := named(EXPIRED):
        return StorageFailed(
            f"the credentials for {uri} have expired ({which}). Renew them. {AGAIN}", "denied", whole=True
        )
    if which := named(UNKNOWN):
        return StorageFailed(
            f"the store of {uri} does not take these credentials ({which}). Check AWS_PROFILE or "
            f"AWS_ACCESS_KEY_ID, and the endpoint they are for. {AGAIN}",
            "denied",
            whole=True,
        )
    if which := named(NONE):
        return StorageFailed(
            f"no credentials for {uri} ({which}). Set AWS_PROFILE or AWS_ACCESS_KEY_ID and "
            "AWS_SECRET_ACCESS_KEY, or pass --storage anonymous=true for a public bucket.",
            "denied",
            whole=True,
        )
    if named(ELSEWHERE):
        return StorageFailed(f"{uri} is in another region. Pass --storage region=...", whole=True)
    if named(DENIED):
        return StorageFailed(f"no permission for {uri}. Grant access or choose another place.", "denied")
    return _told_of_service(uri, names)


def _told_of_service(uri: str, names: set[str]) -> StorageFailed | None:
    if which := sorted(names & BUSY):
        cause = f"the store of {uri} was too busy ({', '.join(which)}), however often it was asked"
    elif which := sorted(names & ILL):
        cause = f"the store of {uri} failed ({', '.join(which)}), however often it was asked"
    elif names & UNREACHED:
        cause = f"nobody answers for {uri}; check the endpoint (--storage endpoint=..., AWS_ENDPOINT_URL)"
    elif names & BROKEN:
        message = f"{uri} ended before its time, however often it was read. {AGAIN}"
        return StorageFailed(message, "truncated", passing=True)
    elif which := sorted(names & LOST):
        cause = f"the connection to the store of {uri} was lost ({which[0]})"
    else:
        return None
    return StorageFailed(f"{cause}. {AGAIN}", passing=True, whole=True)


def _told_of_disk(uri: str, error: Exception) -> SerRayError | None:
    if isinstance(error, FileNotFoundError):
        return MissingInput(f"not found: {uri}. Check the path (or the bucket and prefix).")
    if isinstance(error, PermissionError):
        return StorageFailed(f"no permission for {uri}. Grant access or choose another place.", "denied")
    if isinstance(error, NotADirectoryError | IsADirectoryError | FileExistsError):
        return StorageFailed(f"a file stands where a folder is needed, or the reverse: {uri}.")
    if isinstance(error, pa.ArrowException):
        return StorageFailed(f"not a readable Parquet file: {uri} ({error}).")
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        return StorageFailed(f"disk full while writing {uri}. Free space, then run again.", whole=True)
    if isinstance(error, OSError):
        return StorageFailed(f"storage failed for {uri}: {error}. Run again to go on.")
    if isinstance(error, ImportError):
        return StorageFailed(f"no driver for {uri}: {error}.", whole=True)
    return None
