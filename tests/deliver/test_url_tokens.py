"""A token in the query of an endpoint's URL: seen by those who may see the endpoint, and nowhere else."""

import logging
from collections.abc import Callable, Iterator

import pytest
import structlog
from api_server import Api, expect

from commerce_event import logs
from commerce_event.deliver.connection_pool import ConnectionPool

TOKEN = "canary-query-token"
OWN, FOREIGN = 1, 2


@pytest.fixture(params=["text", "json"])
def log_output(request: pytest.FixtureRequest, capfd: pytest.CaptureFixture[str]) -> Iterator[Callable[[], str]]:
    """Log as the server does, and return what it wrote."""
    root = logging.getLogger()
    handlers, level = root.handlers, root.level
    logs.configure(request.param)
    structlog.configure(cache_logger_on_first_use=False)
    yield lambda: "".join(capfd.readouterr())
    structlog.reset_defaults()
    root.handlers = handlers
    root.setLevel(level)


async def test_a_token_in_a_url_is_in_no_log_and_no_metric(
    api: Api, log_output: Callable[[], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    url = f"{api.receiver.url}/hook?token={TOKEN}"
    api.receiver.status = 410
    await api.endpoint(url=url)
    await api.publish()
    await api.until_state("dead")

    async def broken(*_args: object, **_more: object) -> None:
        raise RuntimeError("no reason")

    monkeypatch.setattr(ConnectionPool, "post", broken)
    made = await api.endpoint(url=url)
    expect(await api.admin.post(f"/v1/endpoints/{made['id']}/test"), 200)
    logged = log_output()
    assert "switched off" in logged
    assert "sending failed by an internal error" in logged
    assert TOKEN not in logged
    assert TOKEN not in (await api.admin.get("/metrics")).text


@pytest.mark.parametrize(
    "url",
    ["http://10.0.0.1/?{}", "http://u:p@shop.example.com/?{}", "http://shop.example.com/ ?{}", "ftp://a.example/?{}"],
)
async def test_a_refused_url_is_not_repeated_with_its_token(api: Api, url: str) -> None:
    wanted = {"client_id": OWN, "url": url.format(f"token={TOKEN}"), "event_types": ["*"]}
    refused = await api.admin.post("/v1/endpoints", json=wanted)
    assert refused.status_code == 422
    assert TOKEN not in refused.text


async def test_a_token_in_a_url_is_seen_by_keys_of_its_client_alone(api: Api) -> None:
    made = await api.endpoint(OWN, url=f"{api.receiver.url}/hook?token={TOKEN}")
    event = await api.publish(OWN)
    await api.until_state("delivered")
    own, _ = await api.key("read", OWN)
    other, _ = await api.key("manage", FOREIGN)
    paths = [
        *("/v1/endpoints", f"/v1/endpoints/{made['id']}", f"/v1/endpoints/{made['id']}/stats"),
        *(f"/v1/events/{event['id']}/explain", "/v1/deliveries", f"/v1/deliveries/{(await api.deliveries())[0]['id']}"),
    ]
    for path in paths:
        assert TOKEN not in (await other.get(path)).text, path
    assert TOKEN in (await own.get(paths[1])).text


async def test_a_token_that_a_receiver_echoes_is_masked_on_record(api: Api) -> None:
    api.receiver.answer_with(500, {"x-path": f"/hook?token={TOKEN}"}, f"no such token: {TOKEN}".encode())
    await api.endpoint(url=f"{api.receiver.url}/hook?token={TOKEN}", retry_schedule=[])
    await api.publish()
    [delivery] = await api.until_state("dead")
    shown = (await api.admin.get(f"/v1/deliveries/{delivery['id']}")).text
    assert "no such token: ***" in shown
    assert TOKEN not in shown
