"""What the engine counts, for `/metrics`. Names and help texts are what an operator reads."""

from prometheus_client import Counter, Gauge

from trunx.domain.call import EndReason, Left
from trunx.domain.webhook import DeliveryStatus

_calls_ended = Counter("trunx_calls_ended", "Inbound calls that have ended, by reason.", ["reason"])
_steps = Counter("trunx_steps", "Nodes that callers have left, by how.", ["left"])
CALLS_ENDED = {reason: _calls_ended.labels(reason) for reason in EndReason}
STEPS = {left: _steps.labels(left) for left in Left}
CALLS_LIVE = Gauge("trunx_calls_live", "Calls that are being handled now.")
CALLS_REFUSED = Gauge("trunx_calls_refused", "Calls refused at the limit of sessions since the start.")
AUDIO_FAILED = Counter("trunx_audio_failed", "Prompts that Asterisk could not play.")
UNKNOWN_DIDS = Counter("trunx_unknown_dids", "Calls to numbers that no account owns.")
OPT_OUTS_JOURNALED = Counter(
    "trunx_opt_outs_journaled", "Opt-outs that went to the journal because the database did not take them."
)
PLACED = Counter("trunx_placed_calls", "Calls that were asked for and accepted.")
PLACED_REFUSED = Counter(
    "trunx_placed_calls_refused", "Calls that the gate refused, at the request or later, by code.", ["code"]
)
_placed_ended = Counter("trunx_placed_calls_ended", "Accepted calls that have ended, by reason.", ["reason"])
PLACED_ENDED = {reason: _placed_ended.labels(reason) for reason in EndReason}
AMI_CONNECTED = Gauge("trunx_ami_connected", "1 while Asterisk can be told to dial.")
_webhook_requests = Counter(
    "trunx_webhook_requests", "Requests to webhooks, by what then became of the delivery.", ["outcome"]
)
WEBHOOK_REQUESTS = {status: _webhook_requests.labels(status) for status in DeliveryStatus}
