"""What a user has set up for AWS: credentials, region and endpoints, as botocore finds them.

All of it may read files, start programs and ask other servers, so it runs in threads.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar
from urllib.parse import urlsplit

import anyio

from callsheet._errors import ConfigError, Denied
from callsheet._http._urls import is_address, is_loopback
from callsheet._redaction import Secret, clean
from callsheet._signing import AGAIN, EARLY, Credentials, Keys
from callsheet._threads import Threads

__all__ = ["Aws", "ChainCredentials"]

T = TypeVar("T")

_MISSING = "pip install 'callsheet[deadline]'"


class Aws:
    """One user's settings for AWS, shared by all who sign.

    Args:
        profile: The profile of the shared configuration; by default `AWS_PROFILE`, else `default`.
        region: Such as `us-west-2`; by default that of the environment or the profile.
    """

    def __init__(self, *, profile: str | None = None, region: str | None = None) -> None:
        self._profile = profile
        self._region = region
        self._session: Any = None

    async def open(self) -> None:
        """Load botocore and the user's configuration.

        Raises:
            ConfigError: botocore is missing, or the configuration cannot be read.
        """
        self._threads = Threads(4)
        self.credentials = ChainCredentials(self)
        if self._session is None:
            self._session = await self.run(self._load)

    async def aclose(self) -> None:
        """Wait for the threads in flight, for up to 5 seconds."""
        if self._session is not None:
            await self._threads.aclose()

    @property
    def region(self) -> str:
        """The region, as it was given or found.

        Raises:
            ConfigError: There is none.
        """
        found = self._region or os.environ.get("AWS_REGION") or self._session.get_config_variable("region")
        if not found:
            raise ConfigError("region: give region=, or set AWS_REGION")
        return str(found)

    @property
    def settings(self) -> Mapping[str, Any]:
        """The settings of the profile."""
        settings: Mapping[str, Any] = self._session.get_scoped_config()
        return settings

    def override(self, service: str) -> str | None:
        """Return the endpoint that the user has set for a service, if any."""
        session = self._session
        if session.get_config_variable("ignore_configured_endpoint_urls"):
            return None
        settings = self.settings
        services = session.full_config.get("services", {}).get(settings.get("services"), {})
        found = (
            os.environ.get(f"AWS_ENDPOINT_URL_{service.upper()}")
            or os.environ.get("AWS_ENDPOINT_URL")
            or services.get(service, {}).get("endpoint_url")
            or settings.get("endpoint_url")
        )
        return found or None

    async def endpoint(self, service: str, endpoint: str | None = None, **parameters: Any) -> str:
        """Return the URL of a service, as the service's own rules and the user's settings make it.

        Args:
            service: Such as `"deadline"`.
            endpoint: Instead of what the user has set.
            parameters: More for the rules, such as `Bucket` of S3.

        Raises:
            ConfigError: The settings contradict each other.
        """
        return await self.run(self._resolve, service, endpoint, parameters)

    async def run(self, function: Callable[..., T], *args: object) -> T:
        """Call a function that uses botocore in a thread.

        Raises:
            ConfigError: botocore is missing, or cannot use a setting.
        """
        try:
            return await self._threads.run(function, *args, abandon=True)
        except ModuleNotFoundError as exc:
            raise ConfigError(f"{exc.name} is missing; run: {_MISSING}") from exc

    def inject_prefix(self, url: str) -> bool:
        """Tell whether a service that wants a prefix before its host gets it at this endpoint."""
        if self._session.get_config_variable("disable_host_prefix_injection"):
            return False
        host = urlsplit(url).hostname or ""
        # No resolver knows `management.127.0.0.1`, whatever other clients make of it.
        return not (is_address(host) or is_loopback(host))

    # -- in threads ------------------------------------------------------------------------------------------

    def _load(self) -> Any:
        import botocore.auth
        import botocore.awsrequest
        import botocore.exceptions
        import botocore.session

        session = botocore.session.Session(profile=self._profile)
        try:
            session.get_scoped_config()
        except botocore.exceptions.BotoCoreError as exc:
            raise ConfigError(f"profile: {clean(str(exc))}") from exc
        return session

    def _resolve(self, service: str, endpoint: str | None, parameters: Mapping[str, Any]) -> str:
        from botocore.endpoint_provider import EndpointProvider
        from botocore.exceptions import BotoCoreError

        session = self._session
        loader = session.get_component("data_loader")
        given = {
            "Region": self.region,
            "UseDualStack": bool(session.get_config_variable("use_dualstack_endpoint")),
            "UseFIPS": bool(session.get_config_variable("use_fips_endpoint")),
            **parameters,
        }
        if (url := endpoint or self.override(service)) is not None:
            given["Endpoint"] = url.rstrip("/")
        rules = loader.load_service_model(service, "endpoint-rule-set-1")
        try:
            found = EndpointProvider(rules, loader.load_data("partitions")).resolve_endpoint(**given)
        except BotoCoreError as exc:
            setting = "region" if url is None else "endpoint"
            raise ConfigError(f"{setting}: {clean(str(exc))}") from exc
        return str(found.url)

    def load_credentials(self) -> Any:
        """Return botocore's credentials, looked for anew. To be called in a thread.

        Raises:
            ConfigError: There are none, or they are not whole.
        """
        from botocore.exceptions import BotoCoreError

        try:
            found = self._session.get_component("credential_provider").load_credentials()
        except BotoCoreError as exc:
            raise ConfigError(f"credentials: {clean(str(exc))}") from exc
        if found is None:
            raise ConfigError(
                "credentials: there are none; set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE"
            )
        return found


class ChainCredentials(Credentials):
    """Keys out of botocore's chain: environment, shared files, SSO, programs, containers, instances.

    Looking for them, and renewing them, is done in a thread, by one task while the others wait.
    """

    def __init__(self, aws: Aws) -> None:
        self._aws = aws
        self._lock = anyio.Lock(fast_acquire=True)
        self._source: Any = None
        self._keys: Keys | None = None
        self._tried = datetime.min.replace(tzinfo=UTC)

    async def keys(self) -> Keys:
        """Return keys that work now.

        Raises:
            ConfigError: There are none.
            Denied: They cannot be renewed, as when a login has ended.
        """
        if self._keys is not None and self._may_stay():
            return self._keys
        async with self._lock:
            if self._keys is None or not self._may_stay():
                self._tried = datetime.now(UTC)
                self._keys = await self._aws.run(self._fetch)
            return self._keys

    async def renew(self, refused: Keys | None) -> None:
        """Look for credentials anew, unless another task has done so since."""
        async with self._lock:
            if refused is None or refused is self._keys:
                self._source = None
                self._keys = await self._aws.run(self._fetch)

    def _may_stay(self) -> bool:
        needed: Callable[..., bool] | None = getattr(self._source, "refresh_needed", None)
        if needed is None or not needed(EARLY.total_seconds()):
            return True
        # A renewal that comes early may fail, and is not tried again at once.
        return datetime.now(UTC) - self._tried < AGAIN and not needed(timedelta(minutes=10).total_seconds())

    def _fetch(self) -> Keys:
        from botocore.exceptions import BotoCoreError, ClientError

        if self._source is None:
            self._source = self._aws.load_credentials()
        try:
            frozen = self._source.get_frozen_credentials()
        except (BotoCoreError, ClientError, RuntimeError, OSError) as exc:
            raise Denied(f"AWS credentials cannot be had ({self._source.method}): {clean(str(exc))}") from exc
        token = Secret(frozen.token) if frozen.token else None
        return Keys(frozen.access_key, Secret(frozen.secret_key), token)
