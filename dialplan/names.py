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

VARIABLE_MAX_SECONDS = "TRUNX_MAX_SECONDS"
"""Channel variable of a call we place: seconds after the answer at which Asterisk itself ends it."""

VARIABLE_AMD = "TRUNX_AMD"
"""Channel variable of a call we place: 1 to find out whether a machine has answered."""

VARIABLE_RECORD = "TRUNX_RECORD"
"""Channel variable of a call we place: 1 to record it."""

VARIABLE_TRIES = "TRUNX_TRIES"
"""Channel variable of a call we place: how often trunx was not there, or left it, after the answer."""

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

AGI_URL = f"agi://{AGI_HOST}:{AGI_PORT}/{AGI_PATH}"

SOUND_TROUBLE = "trunx/engine/trouble"
"""The apology, named as Asterisk's sounds folder holds it."""

ENDPOINT_TRUNK = "trunx-trunk"
"""PJSIP endpoint: the way to the PSTN, and from it."""

MANAGER_USER = "trunx"
"""Our login to Asterisk's manager interface (AMI)."""

MANAGER_PORT = 5038
"""AMI's customary port."""
