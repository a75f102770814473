"""A real Asterisk 22 with its own folder and its own ports on 127.0.0.1, so that many run side by side.

`.ci/asterisk-root` names the root folder it lives in. The instance folder has the same path inside that root
and outside, by a bind mount in a mount namespace which vanishes with the process: nothing is left mounted,
however the tests end.
"""

from __future__ import annotations

import asyncio
import shutil
import socket
import tempfile
from asyncio.subprocess import DEVNULL, STDOUT, Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Self

from tests.peers.ami import Ami

ROOT_SCRIPT = Path(__file__).parents[2] / ".ci" / "asterisk-root"
CALLS = 100
"""Concurrent calls of one instance: its RTP range holds two ports for each."""

AMI_USER = "trunx"
AMI_SECRET = "trunx-test"

# One block of ports an instance: the first is held by us as the claim, then SIP (UDP) and AMI (TCP), then
# RTP.
_BLOCK = 2 * CALLS + 8
_FIRST_PORT, _PAST_LAST_PORT = 12_000, 32_000  # below the range from which the kernel gives out ports

_MODULES = """
res_timing_timerfd res_sorcery_config res_sorcery_memory res_sorcery_astdb res_crypto res_speech res_agi
res_musiconhold res_pjproject res_pjsip res_pjsip_session res_pjsip_sdp_rtp res_pjsip_caller_id
res_pjsip_dtmf_info res_pjsip_nat res_pjsip_endpoint_identifier_ip res_pjsip_endpoint_identifier_user
res_pjsip_header_funcs res_pjsip_rfc3326 res_pjsip_diversion res_pjsip_refer res_pjsip_pubsub
res_pjsip_authenticator_digest res_pjsip_registrar res_pjsip_acl res_pjsip_outbound_authenticator_digest
res_pjsip_outbound_registration res_pjsip_logger res_rtp_asterisk chan_pjsip bridge_simple bridge_native_rtp
bridge_softmix bridge_holding bridge_builtin_features pbx_config bridge_builtin_interval_features codec_ulaw
codec_alaw codec_a_mu codec_g722 codec_gsm codec_resample format_pcm format_wav format_sln format_gsm
app_playback app_senddtmf app_mixmonitor app_chanspy app_amd app_dial app_echo app_stack app_read
app_verbose app_record app_exec app_system app_originate app_userevent app_dtmfstore app_controlplayback
app_waitforsilence app_channelredirect app_softhangup app_bridgewait app_while app_milliwatt func_callerid
func_channel func_cut func_db func_dialplan func_env func_global func_groupcount func_hangupcause func_logic
func_math func_pjsip_endpoint func_strings func_timeout func_uri func_rand func_periodic_hook func_volume
func_talkdetect func_sprintf func_base64 func_module func_version app_directed_pickup app_playtones
"""

# Runs in a fresh mount namespace, as root: $1 root folder, $2 instance folder, then Asterisk's command line.
_ENTER_ROOT = """
set -e
root=$1 folder=$2
shift 2
mount --rbind /dev "$root/dev"
mount --bind /proc "$root/proc"
mount -t tmpfs tmpfs "$root/tmp"
mkdir -p "$root$folder"
mount --bind "$folder" "$root$folder"
exec setpriv --pdeathsig KILL chroot "$root" "$@"
"""


class Ports:
    """A block of ports on 127.0.0.1 that no other instance of any test session uses, while it is entered."""

    def __init__(self) -> None:
        for first in range(_FIRST_PORT, _PAST_LAST_PORT - _BLOCK, _BLOCK):
            claim = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            try:
                claim.bind(("127.0.0.1", first))
            except OSError:
                claim.close()
                continue
            self._claim = claim
            self.sip = first + 1
            self.ami = first + 2
            self.rtp = range(first + 4, first + _BLOCK)
            return
        raise OSError("every block of ports on 127.0.0.1 is taken")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._claim.close()


class Asterisk:
    """One Asterisk; made by `running_pbx` or by `tests.peers.world`, which start it and leave nothing behind.

    Attributes:
        folder: everything of this instance; the same path for Asterisk and for us.
        sounds: Asterisk's sounds folder; the English core sounds are in `sounds/en`.
        ami: a connection made anew at each start.
    """

    ami: Ami

    def __init__(self, root: Path, folder: Path, ports: Ports) -> None:
        self.root = root
        self.folder = folder
        self.ports = ports
        self.sounds = folder / "data" / "sounds"
        self._process: Process | None = None

    @property
    def ami_url(self) -> str:
        """As the setting TRUNX_AMI_URL wants it."""
        return f"ami://{AMI_USER}:{AMI_SECRET}@127.0.0.1:{self.ports.ami}"

    @property
    def log(self) -> str:
        """What Asterisk has logged since the first start."""
        return (self.folder / "log" / "full").read_text("utf-8", "replace")

    @property
    def pid(self) -> int:
        """The process id of the running Asterisk."""
        assert self._process is not None, "not running"
        return self._process.pid

    def write(self, name: str, text: str) -> None:
        """Writes one configuration file; Asterisk reads it at the next start or reload."""
        (self.folder / "etc" / name).write_text(text, "utf-8", "surrogateescape")

    async def dialplan(self, text: str) -> None:
        """Replaces the whole of extensions.conf and has a running Asterisk read it."""
        self.write("extensions.conf", text)
        if self._process is not None:
            await self.ami.command("dialplan reload")

    async def start(self) -> None:
        """Starts Asterisk and returns when it takes calls."""
        # Ahead of all others, or these cut holes into what callers hear on a busy machine. No real-time
        # priority (-p): with it an Asterisk that starts has a processor for a tenth of a second at a time.
        command = ["nice", "-n", "-10", "asterisk", "-f", "-C", str(self.folder / "etc" / "asterisk.conf")]
        if self.root == Path("/"):
            command = ["setpriv", "--pdeathsig", "KILL", *command]
        else:
            command = [
                "unshare",
                "--mount",
                "sh",
                "-c",
                _ENTER_ROOT,
                "sh",
                str(self.root),
                str(self.folder),
                *command,
            ]
        with (self.folder / "log" / "console").open("ab") as console:
            self._process = await asyncio.create_subprocess_exec(
                *command, stdin=DEVNULL, stdout=console, stderr=STDOUT, cwd="/"
            )
        try:
            async with asyncio.timeout(30):
                self.ami = await self._login()
                # The AMI port opens before the modules are loaded.
                while "fully booted" not in await self.ami.command("core waitfullybooted"):
                    pass
        except BaseException:
            await self.kill()
            raise

    async def stop(self) -> None:
        """Ends Asterisk in the orderly way (its callers are hung up on); one that hangs is killed."""
        await self._end(kill=False)

    async def kill(self) -> None:
        """Ends Asterisk as a crash would (SIGKILL): no BYE, no closing of files."""
        await self._end(kill=True)

    async def restart(self) -> None:
        """Stops and starts; channels and their variables are gone, the folder stays."""
        await self.stop()
        await self.start()

    async def _login(self) -> Ami:
        assert self._process is not None
        while self._process.returncode is None:
            try:
                return await Ami.connect(self.ports.ami, AMI_USER, AMI_SECRET)
            except ConnectionRefusedError:
                await asyncio.sleep(0.02)  # there is nothing to wait on but the port itself
        raise RuntimeError(
            f"Asterisk did not start: {(self.folder / 'log' / 'console').read_text('utf-8', 'replace')}"
        )

    async def _end(self, *, kill: bool) -> None:
        if self._process is None:
            return
        process, self._process = self._process, None
        if "ami" in vars(self):
            await self.ami.close()
        if process.returncode is None:
            if kill:
                process.kill()
            else:
                process.terminate()
            try:
                await asyncio.wait_for(process.wait(), 10)
            except TimeoutError:
                process.kill()
                await process.wait()


@asynccontextmanager
async def running_pbx(dialplan: str) -> AsyncIterator[Asterisk]:
    """A started Asterisk with that extensions.conf and no outside world (see `tests.peers.world`)."""
    with tempfile.TemporaryDirectory(prefix="trunx-asterisk-") as folder, Ports() as ports, Ports() as nobody:
        pbx = Asterisk(await find_root(), Path(folder), ports)
        configure(pbx, peer="trunk", peer_sip=nobody.sip, context="trunx-inbound")
        await pbx.dialplan(dialplan)
        try:
            await pbx.start()
            yield pbx
        finally:
            await pbx.kill()


async def find_root() -> Path:
    """The root folder that holds Asterisk; the first time on a machine, building it takes half a minute."""
    finding = await asyncio.create_subprocess_exec(ROOT_SCRIPT, stdout=asyncio.subprocess.PIPE)
    printed, _ = await finding.communicate()
    if finding.returncode != 0:
        raise RuntimeError(f"{ROOT_SCRIPT} failed; its own words are on stderr")
    return Path(printed.decode().strip())


def configure(asterisk: Asterisk, *, peer: str, peer_sip: int, context: str, options: str = "") -> None:
    """Makes the instance's folders, its configuration and its own copy of the core sounds.

    Args:
        asterisk: the instance, which has nothing yet.
        peer: name of the PJSIP endpoint of the other Asterisk; everything from 127.0.0.1 is taken for it.
        peer_sip: the other's SIP port.
        context: where calls from the peer enter.
        options: further lines for [options] of asterisk.conf.
    """
    folder, ports = asterisk.folder, asterisk.ports
    for name in ("etc", "var", "db", "spool", "run", "log", "data"):
        (folder / name).mkdir(parents=True)
    shared = next(
        path
        for path in (asterisk.root / "usr/share/asterisk", asterisk.root / "var/lib/asterisk")
        if (path / "documentation").is_dir()
    )
    (folder / "data" / "documentation").symlink_to(
        Path("/") / shared.relative_to(asterisk.root) / "documentation"
    )
    core = next(
        path for path in (shared / "sounds" / "en_US_f_Allison", shared / "sounds" / "en") if path.is_dir()
    )
    shutil.copytree(core, asterisk.sounds / "en")
    directories = {
        "astetcdir": "etc",
        "astvarlibdir": "var",
        "astdbdir": "db",
        "astkeydir": "var",
        "astdatadir": "data",
        "astspooldir": "spool",
        "astrundir": "run",
        "astlogdir": "log",
    }
    lines = "\n".join(f"{name} => {folder / place}" for name, place in directories.items())
    asterisk.write(
        "asterisk.conf", f"[directories]\n{lines}\n[options]\nverbose = 3\nmaxfiles = 8192\n{options}\n"
    )
    asterisk.write(
        "modules.conf",
        "[modules]\nautoload = no\n" + "".join(f"load = {name}.so\n" for name in _MODULES.split()),
    )
    asterisk.write("logger.conf", "[general]\n[logfiles]\nfull => notice,warning,error,verbose\n")
    asterisk.write("rtp.conf", f"[general]\nrtpstart = {ports.rtp.start}\nrtpend = {ports.rtp.stop - 1}\n")
    asterisk.write("cdr.conf", "[general]\nenable = no\n")
    asterisk.write("musiconhold.conf", f"[default]\nmode = files\ndirectory = {asterisk.sounds / 'en'}\n")
    # As Asterisk's own sample has it, but that it rings without a pause: silence is then silence.
    asterisk.write(
        "indications.conf",
        "[general]\ncountry = us\n[us]\ndescription = us\nringcadence = 2000,4000\n"
        "dial = 350+440\nring = 440+480\n"
        "busy = 480+620/500,0/500\ncongestion = 480+620/250,0/250\n",
    )
    for name in ("acl", "amd", "cel", "features", "pjproject", "udptl"):
        asterisk.write(f"{name}.conf", "[general]\n")  # defaults; without the file each complains in the log
    asterisk.write(
        "manager.conf",
        f"""[general]
enabled = yes
bindaddr = 127.0.0.1
port = {ports.ami}
timestampevents = yes
[{AMI_USER}]
secret = {AMI_SECRET}
read = all
write = all
""",
    )
    asterisk.write(
        "pjsip.conf",
        f"""[udp]
type = transport
protocol = udp
bind = 127.0.0.1:{ports.sip}
[{peer}]
type = endpoint
context = {context}
disallow = all
allow = ulaw,alaw,g722
aors = {peer}
direct_media = no
media_address = 127.0.0.1
bind_rtp_to_media_address = yes
trust_id_inbound = yes
trust_id_outbound = yes
send_pai = yes
[{peer}]
type = aor
contact = sip:127.0.0.1:{peer_sip}
[{peer}]
type = identify
endpoint = {peer}
match = 127.0.0.1
""",
    )
