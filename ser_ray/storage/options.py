"""How stores are reached where the standard environment does not say it, or says it otherwise.

Options hold no secret: those come from the environment, a profile or the machine's role. In use they
are settings of fsspec, which it reads from the environment of each process; that is how they reach the
workers of a cluster.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from typing import Any, Literal, Self
from urllib.parse import urlsplit

import fsspec.config
from pydantic import BaseModel, ConfigDict, ValidationError, field_validator, model_validator

from ser_ray.errors import UsageError

SECRETS = ("key", "secret", "token", "password", "credential", "username")


class StorageOptions(BaseModel):
    """Where and how S3, or a store that speaks its language, is asked; `anonymous` is for `gs://` too."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    endpoint: str | None = None  # such as http://minio:9000
    region: str | None = None
    profile: str | None = None  # of ~/.aws on each machine
    anonymous: bool = False  # public buckets, without credentials
    encryption: Literal["AES256", "aws:kms"] | None = None  # of all that is written, by the server
    kms_key: str | None = None  # its id or ARN; None: the account's own

    @field_validator("endpoint")
    @classmethod
    def _address(cls, value: str | None) -> str | None:
        url = urlsplit(value or "http://host")
        if url.scheme not in ("http", "https") or not url.hostname or url.username or url.query:
            raise ValueError("it is like https://host:9000, without a password")
        return value

    @model_validator(mode="after")
    def _fit(self) -> Self:
        if self.kms_key and self.encryption != "aws:kms":
            raise ValueError("kms_key is for encryption=aws:kms")
        if self.anonymous and self.profile:
            raise ValueError("anonymous has no profile")
        return self

    @classmethod
    def of(cls, given: Mapping[str, Any]) -> Self:
        """The options of these names.

        Raises:
            UsageError: one that does not exist, of the wrong kind, or a secret.
        """
        for name in set(given) - set(cls.model_fields):
            if any(word in name.lower() for word in SECRETS):
                raise UsageError(
                    f"storage: {name} is a secret, which options would show to all. Put it into the "
                    "environment (AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY) or a profile."
                )
        try:
            return cls(**given)
        except ValidationError as error:
            first = error.errors()[0]
            what, why = (
                ".".join(["storage", *map(str, first["loc"])]),
                first["msg"].split("Value error, ")[-1],
            )
            raise UsageError(f"{what}: {why}. Options: {', '.join(cls.model_fields)}.") from error

    def environment(self) -> dict[str, str]:
        """The same as fsspec's variables."""
        encryption = {"ServerSideEncryption": self.encryption, "SSEKMSKeyId": self.kms_key}
        settings: dict[str, Any] = {
            "FSSPEC_S3_ENDPOINT_URL": self.endpoint,
            "FSSPEC_S3_CLIENT_KWARGS": {"region_name": self.region} if self.region else None,
            "FSSPEC_S3_PROFILE": self.profile,
            "FSSPEC_S3_ANON": self.anonymous or None,
            "FSSPEC_GS_TOKEN": "anon" if self.anonymous else None,
            "FSSPEC_S3_S3_ADDITIONAL_KWARGS": {k: v for k, v in encryption.items() if v} or None,
        }
        return {name: json.dumps(value) for name, value in settings.items() if value is not None}


_in_use = StorageOptions()


def use_options(options: StorageOptions | None) -> None:
    """Reach stores by these options too from now on, in this process and those that it starts."""
    global _in_use
    _in_use = StorageOptions.of(
        options_in_use() | (options.model_dump(exclude_unset=True) if options else {})
    )
    os.environ.update(environment())
    fsspec.config.set_conf_env(fsspec.config.conf, environment())


def options_in_use() -> dict[str, Any]:
    """The options that this process was told to use, as plain data."""
    return _in_use.model_dump(exclude_unset=True)


def environment() -> dict[str, str]:
    """What processes elsewhere need in their environment to reach stores as this one does."""
    return _in_use.environment()
