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

AGI_HOST = "127.0.0.1"
"""Loopback, as FastAGI knows neither passwords nor encryption."""

AGI_PORT = 4573
"""FastAGI's customary port (`AGI_PORT` in Asterisk's res_agi.c)."""

AGI_PATH = "inbound"
"""The script that the dialplan asks our FastAGI server for."""

AGI_URL = f"agi://{AGI_HOST}:{AGI_PORT}/{AGI_PATH}"

SOUND_TROUBLE = "trunx/engine/trouble"
"""The apology, named as Asterisk's sounds folder holds it."""

ENDPOINT_TRUNK = "trunx-trunk"
"""PJSIP endpoint: the way to the PSTN, and from it."""

MANAGER_USER = "trunx"
"""Our login to Asterisk's manager interface (AMI)."""

MANAGER_PORT = 5038
"""AMI's customary port."""
