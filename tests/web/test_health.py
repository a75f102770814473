"""Whether we live, whether we can work, and our figures."""

from tests.web.house import Client


async def test_health_tells_the_version(stranger: Client) -> None:
    got = await stranger.get("/healthz")
    assert (got.status, got.body) == (200, {"status": "ok", "version": "0.1.0"})


async def test_readiness_names_each_part(stranger: Client) -> None:
    got = await stranger.get("/readyz")
    assert got.status == 200
    assert got.body["status"] == "ready"
    assert {part["name"]: part["state"] for part in got.body["parts"]} == {"database": "ok", "redis": "ok"}


async def test_metrics_count_requests_by_template(ada: Client) -> None:
    await ada.get("/ivr/nothing")
    got = await ada.get("/metrics")
    assert got.headers["Content-Type"].startswith("text/plain")
    assert 'trunx_http_request_seconds_count{method="GET",path="/ivr/{id}",status="404"}' in got.body
