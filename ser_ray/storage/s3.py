"""S3: one place for patience. Requests are repeated by botocore alone, bodies by `repeated` alone.

Left to themselves, s3fs and botocore each repeat what the other has repeated already.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

import s3fs

ATTEMPTS = 10  # of a request; with their pauses of up to 20 s about a minute until a store is given up
EXPLAINED = ("head_object", "head_bucket")
CONNECT_S, READ_S = 10, 30  # until it is there; between two pieces of an answer


class Buckets(s3fs.S3FileSystem):  # type: ignore[misc]
    """s3fs with our patience and without its memory of listings, which other machines outdate."""

    retries = 1

    def __init__(self, *arguments: Any, config_kwargs: dict[str, Any] | None = None, **options: Any) -> None:
        patience = {
            "mode": os.environ.get("AWS_RETRY_MODE", "standard"),
            "total_max_attempts": int(os.environ.get("AWS_MAX_ATTEMPTS", ATTEMPTS)),
        }
        timeouts = {"connect_timeout": CONNECT_S, "read_timeout": READ_S}
        config = {"retries": patience, **timeouts, **(config_kwargs or {})}
        super().__init__(
            *arguments, config_kwargs=config, **{"use_listings_cache": False, "max_concurrency": 4, **options}
        )

    def objects(self, path: str, deep: bool) -> Iterator[dict[str, Any]]:
        """The objects below a prefix as S3 lists them, in the order of their keys, a page at a time."""
        bucket, key, _ = self.split_path(path)
        request = {"Bucket": bucket, "Prefix": key.rstrip("/") + "/" if key else ""}
        if not deep:
            request["Delimiter"] = "/"
        while True:
            page = self.call_s3("list_objects_v2", **request)
            for found in page.get("Contents", ()):
                if not found["Key"].endswith("/"):  # what consoles make to show a folder
                    yield {**found, "name": f"{bucket}/{found['Key']}", "size": found["Size"]}
            if not page.get("IsTruncated"):
                return
            request["ContinuationToken"] = page["NextContinuationToken"]

    async def _cat_file(self, path: str, *place: Any, max_concurrency: int = 1, **options: Any) -> bytes:
        return bytes(await super()._cat_file(path, *place, max_concurrency=max_concurrency, **options))

    async def _call_s3(self, method: str, *arguments: Any, **options: Any) -> Any:
        try:
            return await super()._call_s3(method, *arguments, **options)
        except OSError as error:
            answer = getattr(error.__cause__, "response", {})
            if method in EXPLAINED and answer.get("Error", {}).get("Code") in ("400", "403"):
                await self._explain(method, options)
            raise

    async def _explain(self, method: str, options: dict[str, Any]) -> None:
        """Raise why a HEAD was refused, whose answer has no room for it, as a GET is told."""
        asked = {name: options[name] for name in ("Bucket", "Key") if name in options}
        if method == "head_object":
            (await super()._call_s3("get_object", **asked, Range="bytes=0-0"))["Body"].close()
        else:
            await super()._call_s3("list_objects_v2", **asked, MaxKeys=1)
