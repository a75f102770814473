"""Every setting, read once from the environment (`TRUNX_*`) and `trunx.toml`; the environment wins."""

import difflib
import os
import tomllib
from ipaddress import IPv4Network, IPv6Network, ip_network
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import urlsplit

from pydantic import Field, SecretStr, ValidationError, field_validator
from pydantic_settings import (
    BaseSettings,
    NoDecode,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    TomlConfigSettingsSource,
)

from dialplan.names import ENDPOINT_TRUNK

PREFIX = "TRUNX_"
MONITOR = "/var/spool/asterisk/monitor"
"""Where Asterisk records (`astspooldir` in asterisk.conf), unless somebody has moved it."""
FILE = "trunx.toml"
_VENDORS = frozenset({"elevenlabs_api_key", "ultravox_api_key"})
"""Settings that are called what their vendors call them, without our prefix."""
_OF_TESTS = "TEST_"  # TRUNX_TEST_...: read by the tests, not by us

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
    sounds_url: Annotated[tuple[str, ...], NoDecode] = Field(
        default=(),
        description="Asterisk's sounds folder, `file:///...` or `sftp://user@host/...`, or several by comma: "
        "sounds are copied there. When absent, Asterisk plays from `sounds` in the data folder.",
    )
    ssh_known_hosts: Path = Field(
        default=Path("~/.ssh/known_hosts"), description="Keys of the hosts that sounds are copied to."
    )
    ssh_keys: Annotated[tuple[Path, ...], NoDecode] = Field(
        default=(),
        description="Our private keys for these hosts, by comma; the agent's and `~/.ssh/id_*` when absent.",
    )
    recordings_url: str | None = Field(
        default=None,
        description="Asterisk's monitor folder, where it records: `file:///...` or `sftp://user@host/...`. "
        "When absent, `/var/spool/asterisk/monitor`, on the host that sounds are copied to by SFTP, or here.",
    )
    recording_days: int = Field(
        default=30, ge=1, le=36_500, description="How long recordings of calls are kept."
    )
    studio_workers: int = Field(
        default=2, ge=1, le=64, description="Processes that make sounds; each takes one core while it works."
    )
    upload_bytes: int = Field(
        default=25 * 1024 * 1024, ge=1024, description="The largest file that can be uploaded."
    )
    upload_seconds: float = Field(default=300, gt=0, description="How long an upload may take to arrive.")
    audio_seconds: float = Field(default=600, gt=0, description="The longest sound that can be uploaded.")
    elevenlabs_api_key: SecretStr | None = Field(
        default=None,
        validation_alias="elevenlabs_api_key",  # without our prefix: it is the vendor's own name for it
        description="Key of ElevenLabs, whose voices speak then; a voice on this machine does when absent.",
    )
    elevenlabs_url: str | None = Field(
        default=None, description="Where ElevenLabs' API is; its public address when absent."
    )
    elevenlabs_model: str = Field(default="eleven_flash_v2_5", description="ElevenLabs' model that speaks.")
    elevenlabs_concurrency: int = Field(
        default=2, ge=1, description="Texts at once that ElevenLabs' plan allows."
    )
    elevenlabs_voice: str | None = Field(
        default=None,
        description="The voice of requests that name none: an id, a name or an alias; Sarah when absent.",
    )
    elevenlabs_fallback: str | None = Field(
        default=None, description="The voice that stands in when the one asked for is gone."
    )
    elevenlabs_aliases: Annotated[dict[str, str], NoDecode] = Field(
        default_factory=lambda: {"rachel": "21m00Tcm4TlvDq8ikWAM"},
        description="Our own names for voices, `name=id`, by comma; `rachel` when absent.",
    )
    ultravox_api_key: SecretStr | None = Field(
        default=None,
        validation_alias="ultravox_api_key",
        description="Key of Ultravox, whose agents talk to callers; no AI agents without.",
    )
    ultravox_url: str | None = Field(
        default=None, description="Where Ultravox' API is; its public address when absent."
    )
    ultravox_sip: SecretStr | None = Field(
        default=None,
        description="How Ultravox reaches Asterisk, `sip:user:password@pbx.example.com:5060;transport=udp` "
        "(or `tcp`, `tls`), as `pjsip.conf` has it; nobody can talk to an agent without.",
    )
    ultravox_webhook_secrets: Annotated[tuple[SecretStr, ...], NoDecode] = Field(
        default=(),
        description="What Ultravox signs its news with, by comma, the current one first; with these and "
        "`public_url` we hear at once that an agent has joined or left.",
    )
    ultravox_webhook_window: float = Field(
        default=300, gt=0, description="How old such news may be, in seconds, to be believed."
    )
    ultravox_calls: int = Field(
        default=5, ge=1, description="Talks with agents at once, of one account: what Ultravox' plan allows."
    )
    ultravox_wait: float = Field(
        default=3, ge=0, description="How long a caller waits for an agent to become free, in seconds."
    )
    webhook_private: bool = Field(
        default=False,
        description="Whether webhooks, and files to play, may be at private or loopback addresses.",
    )
    events_days: int = Field(
        default=30, ge=2, description="Days that events and what was sent of them are kept."
    )
    ami_url: SecretStr | None = Field(
        default=None,
        description="Asterisk's manager interface, `ami://user:secret@host:5038`; no outbound calls without.",
    )
    trunk: str = Field(
        default=ENDPOINT_TRUNK,
        pattern=r"^[A-Za-z0-9_.-]{1,64}$",
        description="PJSIP endpoint of Asterisk by which outbound calls reach the PSTN.",
    )
    trunk_calls: int = Field(default=100, ge=1, description="Calls at once that the trunk carries.")
    trunk_calls_per_second: int = Field(
        default=20, ge=1, description="Outbound calls that the trunk takes in a second."
    )
    trunk_calls_inbound: int = Field(
        default=20, ge=0, description="How many of `trunk_calls` are kept free for inbound calls."
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
            return tuple(ip_network(part, strict=False) for part in _parts(value))
        return value

    @field_validator("sounds_url", "ssh_keys", mode="before")
    @classmethod
    def _listed(cls, value: Any) -> Any:
        return _parts(value) if isinstance(value, str) else value

    @field_validator("ultravox_webhook_secrets", mode="before")
    @classmethod
    def _secrets(cls, value: Any) -> Any:
        return tuple(SecretStr(part) for part in _parts(value)) if isinstance(value, str) else value

    @field_validator("elevenlabs_aliases", mode="before")
    @classmethod
    def _aliased(cls, value: Any) -> Any:
        return _pairs(value) if isinstance(value, str) else value

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

    def recordings(self) -> str:
        """Where Asterisk records, as a URL."""
        if self.recordings_url is not None:
            return self.recordings_url
        if len(self.sounds_url) == 1 and self.sounds_url[0].startswith("sftp:"):
            return urlsplit(self.sounds_url[0])._replace(path=MONITOR).geturl()
        return f"file://{MONITOR}"

    def sounds(self) -> Path:
        """Our own folder of sounds."""
        return self.data_dir.resolve() / "sounds"


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
            f"{', '.join(variable(str(part)) for part in problem['loc'][:1])}: {problem['msg']}"
            for problem in error.errors(include_input=False, include_url=False)
        )
        raise SettingsError("; ".join(problems)) from None


def _pairs(value: str) -> dict[str, str]:
    pairs = [part.partition("=") for part in _parts(value)]
    if any(not name.strip() or not meant.strip() for name, _, meant in pairs):
        raise ValueError("write it as name=id, by comma")
    return {name.strip(): meant.strip() for name, _, meant in pairs}


def variable(name: str) -> str:
    """The environment's variable for the field `name`."""
    return name.upper() if name in _VENDORS else (PREFIX + name).upper()


def unknown() -> list[str]:
    """A sentence for each name in the environment or the file that looks like a setting and is none."""
    fields = {name: name for name in Settings.model_fields}
    variables = {variable(name).removeprefix(PREFIX): variable(name) for name in fields}
    try:
        in_file = tomllib.loads(Path(FILE).read_text("utf-8"))
    except (OSError, ValueError):
        in_file = {}  # `load` tells what is wrong with it
    strays = [_stray(name, name, fields) for name in in_file if name not in fields]
    for name in os.environ:
        bare = name.removeprefix(PREFIX)
        if bare != name and variables.get(bare) != name and not bare.startswith(_OF_TESTS):
            strays.append(_stray(name, bare, variables))
    return sorted(strays)


def _stray(written: str, bare: str, known: dict[str, str]) -> str:
    close = difflib.get_close_matches(bare, known, n=1)
    return f"{written} is not a setting" + (f": did you mean {known[close[0]]}?" if close else "")


def _parts(value: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in value.split(",") if part.strip())


def client_host(listening: str) -> str:
    """Where a client on this machine reaches a server that listens on the address `listening`."""
    return {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(listening, listening)  # noqa: S104 - no bind
