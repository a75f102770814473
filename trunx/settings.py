"""Every setting, read once from the environment (`TRUNX_*`) and `trunx.toml`; the environment wins."""

import difflib
import os
import tomllib
from ipaddress import IPv4Network, IPv6Network, ip_network
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, SecretStr, ValidationError, field_validator
from pydantic_settings import (
    BaseSettings,
    NoDecode,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    TomlConfigSettingsSource,
)

PREFIX = "TRUNX_"
FILE = "trunx.toml"
_OF_TESTS = "test_"  # TRUNX_TEST_...: read by the tests, not by us

Port = Annotated[int, Field(ge=0, le=65_535)]


class SettingsError(Exception):
    """A setting cannot be used; the message names the variable and says what is wrong with it."""


class Settings(BaseSettings):
    """What an operator can set. Ports may be 0: any free one."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX, env_ignore_empty=True, frozen=True, extra="ignore", toml_file=FILE
    )

    data_dir: Path = Field(default=Path("data"), description="Folder of the database, sounds and journal.")
    http_host: str = Field(default="127.0.0.1", description="Address the API listens on.")
    http_port: Port = Field(default=8080, description="Port of the API.")
    agi_host: str = Field(default="127.0.0.1", description="Address the FastAGI server listens on.")
    agi_port: Port = Field(default=4573, description="Port of the FastAGI server.")
    agi_allow: Annotated[tuple[IPv4Network | IPv6Network, ...], NoDecode] = Field(
        default=(), description="Networks whose Asterisks may connect, by comma; any when empty."
    )
    agi_sessions: int = Field(
        default=5_000, ge=1, description="Calls at once; past it the dialplan apologises."
    )
    drain_seconds: float = Field(
        default=30, ge=0, description="After SIGTERM, how long live calls may go on before they are ended."
    )
    database_url: SecretStr | None = Field(
        default=None,
        description="`postgresql://...` or `sqlite:///...`; SQLite in the data folder when absent.",
    )
    redis_url: SecretStr | None = Field(
        default=None, description="`redis://...`; a server of our own is started when absent."
    )
    api_key: SecretStr | None = Field(
        default=None, description="Key of the first account, at the first start; one is made when absent."
    )
    public_url: str | None = Field(
        default=None, description="Where users reach the API; its address when absent."
    )
    sounds_url: str | None = Field(
        default=None,
        description="Asterisk's sounds folder as we see it, `file:///...`; `sounds` in the data folder when "
        "absent.",
    )
    region: str = Field(
        default="US",
        pattern=r"^[A-Z]{2}$",
        description="Country (ISO 3166) of numbers that a carrier writes without their country code.",
    )
    server_name: str = Field(
        default_factory=lambda: os.uname().nodename,
        description="Name of this process among those that share a database; the host's name when absent.",
    )
    log_json: bool = Field(default=False, description="Log lines as JSON instead of text.")
    demo: bool = Field(default=False, description="Load the demo IVR when the database is empty.")

    @field_validator("agi_allow", mode="before")
    @classmethod
    def _networks(cls, value: Any) -> Any:
        if isinstance(value, str):
            return tuple(ip_network(part.strip(), strict=False) for part in value.split(",") if part.strip())
        return value

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - the signature is pydantic's
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """The environment, then the file."""
        return init_settings, env_settings, TomlConfigSettingsSource(settings_cls)

    def database(self) -> str:
        """The database's URL."""
        if self.database_url is not None:
            return self.database_url.get_secret_value()
        return f"sqlite:///{self.data_dir.resolve() / 'trunx.db'}"

    def sounds(self) -> str:
        """The sounds folder's URL."""
        return self.sounds_url or (self.data_dir.resolve() / "sounds").as_uri()


def load(**given: Any) -> Settings:
    """The settings, with those `given` on the command line first.

    Raises:
        SettingsError: one of them cannot be used.
    """
    try:
        return Settings(**{name: value for name, value in given.items() if value is not None})
    except tomllib.TOMLDecodeError as error:
        raise SettingsError(f"{FILE}: {error}") from None
    except ValidationError as error:
        problems = (
            f"{PREFIX}{'_'.join(str(part) for part in problem['loc'][:1]).upper()}: {problem['msg']}"
            for problem in error.errors(include_input=False, include_url=False)
        )
        raise SettingsError("; ".join(problems)) from None


def unknown() -> list[str]:
    """A sentence for each name in the environment or the file that looks like a setting and is none."""
    known = list(Settings.model_fields)
    try:
        in_file = tomllib.loads(Path(FILE).read_text("utf-8"))
    except (OSError, ValueError):
        in_file = {}  # `load` tells what is wrong with it
    in_environment = {
        name: name.removeprefix(PREFIX).lower() for name in os.environ if name.startswith(PREFIX)
    }
    return [
        f"{written} is not a setting" + _meant(name, known, PREFIX if written in os.environ else "")
        for written, name in sorted({**{name: name for name in in_file}, **in_environment}.items())
        if name not in known and not name.startswith(_OF_TESTS)
    ]


def _meant(name: str, known: list[str], prefix: str) -> str:
    close = difflib.get_close_matches(name, known, n=1)
    if not close:
        return ""
    return f": did you mean {(prefix + close[0]).upper() if prefix else close[0]}?"


def client_host(listening: str) -> str:
    """Where a client on this machine reaches a server that listens on the address `listening`."""
    return {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(listening, listening)  # noqa: S104 - no bind
