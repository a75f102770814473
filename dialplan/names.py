"""Every name that Asterisk's configuration and our code must agree on, written once.

A context or channel variable spelt in two places drifts apart in silence: Asterisk takes an unknown
variable for an empty one. The samples are tested to use exactly these.
"""

CONTEXT_INBOUND = "trunx-inbound"
"""The context that a carrier's calls enter."""

EXTENSION_TROUBLE = "trouble"
"""Where a call lands in that context when we did not take it or did not finish it."""

VARIABLE_DID = "TRUNX_DID"
"""Channel variable: the number that was called, digits and `+` only; empty when the carrier told none."""

CONTEXT_OUTBOUND = "trunx-outbound"
"""The context that a call we place enters once it is answered."""

EXTENSION_OUTBOUND = "placed"
"""Its only extension."""

CONTEXT_TRANSFER = "trunx-transfer"
"""The same of a call to whom somebody is transferred to by request; it has the same extension."""

CONTEXT_AFTER = "trunx-after"
"""Where who was transferred goes on when the other one has left."""

EXTENSION_AFTER = "s"
"""Its only extension."""

VARIABLE_MAX_SECONDS = "TRUNX_MAX_SECONDS"
"""Channel variable of a call we place: seconds after the answer at which Asterisk itself ends it."""

VARIABLE_AMD = "TRUNX_AMD"
"""Channel variable of a call we place: 1 to find out whether a machine has answered."""

VARIABLE_RECORD = "TRUNX_RECORD"
"""Channel variable of a call we place: 1 to record it."""

VARIABLE_TRIES = "TRUNX_TRIES"
"""Channel variable of a call we place: how often trunx was not there, or left it, after the answer."""

CONTEXT_AGENT = "trunx-agent-join"
"""The context that the AI vendor's calls enter: each looks for the one caller it was made for."""

CONTEXT_WAIT = "trunx-agent-wait"
"""The context in which a caller waits for an agent; also the category of the groups that say who does."""

GROUP_EXPECTING = "trunx-expecting"
"""Category of the groups (one a token) that say which agent a live caller expects, ringing yet or not."""

VARIABLE_TOKEN = "TRUNX_TOKEN"  # noqa: S105 - the variable's name
"""Channel variable of a call of the AI vendor: whom it is for."""

VARIABLE_TALKING = "TRUNX_TALKING"
"""Channel variable of a caller: 1 while an agent talks to her, so that the dialplan need not apologise."""

CONTEXT_ACTION = "trunx-action"
"""The context of a call's silent companions, by which its parties are told something as they talk."""

EXTENSION_PLAYS = "plays"
"""Its extension that plays, by our session."""

EXTENSION_WHISPERS = "whispers"
"""Its extension that lets a party hear what is played."""

VARIABLE_SPIED = "TRUNX_SPIED"
"""Channel variable of a companion: the channel that is to hear it."""

VARIABLE_SPYING = "TRUNX_SPYING"
"""Channel variable of a companion: ChanSpy's options."""

RECORDINGS = "trunx/calls"
"""Folder of recordings, inside Asterisk's own (`monitor` in its spool folder)."""

AGI_HOST = "127.0.0.1"
"""Loopback, as FastAGI knows neither passwords nor encryption."""

AGI_PORT = 4573
"""FastAGI's customary port (`AGI_PORT` in Asterisk's res_agi.c)."""

AGI_PATH = "inbound"
"""The script that the dialplan asks our FastAGI server for."""

AGI_PATH_OUTBOUND = "outbound"
"""The same for a call that we have placed."""

AGI_PATH_ACTION = "action"
"""The same for a companion that plays."""

AGI_PATH_TRANSFER = "transfer"
"""The same for one to whom somebody is to be transferred to."""

AGI_URL = f"agi://{AGI_HOST}:{AGI_PORT}/{AGI_PATH}"

SOUND_TROUBLE = "trunx/engine/trouble"
"""The apology, named as Asterisk's sounds folder holds it."""

SOUND_CONNECTING = "trunx/engine/connecting"
"""What who waits for an agent hears between the rings."""

SOUND_GOODBYE = "trunx/engine/goodbye"
"""The last word after a talk that outlived us."""

ENDPOINT_TRUNK = "trunx-trunk"
"""PJSIP endpoint: the way to the PSTN, and from it."""

ENDPOINT_SIP = "trunx-sip"
"""PJSIP endpoint: the way to SIP URIs that transfer nodes name."""

ENDPOINT_AGENT = "trunx-agent"
"""PJSIP endpoint, and its user: how the AI vendor calls us."""

MANAGER_USER = "trunx"
"""Our login to Asterisk's manager interface (AMI)."""

MANAGER_PORT = 5038
"""AMI's customary port."""
