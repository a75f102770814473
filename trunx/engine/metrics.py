"""What the engine counts, for `/metrics`. Names and help texts are what an operator reads."""

from prometheus_client import Counter, Gauge

from trunx.domain.call import EndReason, Left

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
_webhook_requests = Counter(
    "trunx_webhook_requests", "Requests to webhooks, by whether they were taken.", ["taken"]
)
WEBHOOK_REQUESTS = {taken: _webhook_requests.labels(str(taken).lower()) for taken in (True, False)}
