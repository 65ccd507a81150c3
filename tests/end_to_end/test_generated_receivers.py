"""The receivers that `types --language` writes, compiled and run, with a real server that delivers to them."""

import asyncio
import json
import math
import os
import random
import shutil
import subprocess
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

import httpx
import pytest
import tree_sitter
import tree_sitter_c_sharp
import tree_sitter_php
from processes import DEADLINE_S, ServerProcess
from publisher import until_settled
from receiver_programs import HOSTILE, TOOLS, ReceiverProgram, build, event_types, write_files

from commerce_event.contract.catalogue import EVENT_TYPES
from commerce_event.core.signatures import Signer, new_secret
from commerce_event.reference.samples import SIGNED

BIG: Final = 9_007_199_254_740_993  # 2^53 + 1, the first integer that a double does not hold
ORDER: Final = EVENT_TYPES["OrderConfirmedEvent"].example
# Looks like other properties to a reader that does not follow strings, objects and escapes.
TRICKY: Final = (
    f'{{"Note":"\\"OrderId\\": 1, {{\\"OrderId\\":2}} \\\\","Inner":{{"OrderId":3,"Deep":[{{"OrderId":4}},'
    f'"\\\\\\"OrderId\\":5"]}},"ClientId":1,"ApplicationId":1,"Order\\u0049d" : {BIG} ,'
    f'"OrderNo":"{BIG}","ClientOrderRef":"OrderId","FirstName":null,"Source":"OrderId\\":8","Big":{BIG}1,'
    '"Rate":1e3,"Small":-1.5E-7,"Zero":-0}'
).encode()
WORK: Final = "SELECT order_id, typeof(order_id) FROM work ORDER BY rowid"


@pytest.fixture(params=sorted(TOOLS), scope="module")
def built(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[list[str], Path]:
    """Return a receiver in each language: the command that runs it, and its folder."""
    folder = tmp_path_factory.mktemp("receiver")
    return build(request.param, folder), folder


@pytest.fixture
def receiver(built: tuple[list[str], Path], tmp_path: Path) -> Iterator[ReceiverProgram]:
    """Yield a receiver in each language, with a database of its own."""
    made = ReceiverProgram(*built, tmp_path)
    yield made
    made.kill()


def signed(secret: str, event_id: str, body: bytes, *, age_s: int = 0, type_: str = "OrderConfirmedEvent") -> Any:
    sent_at = int(time.time()) - age_s
    return {
        "content-type": "application/json",
        "webhook-id": event_id,
        "webhook-timestamp": str(sent_at),
        "webhook-signature": Signer([secret]).header(event_id, sent_at, body),
        "commerce-event-type": type_,
    }


@asynccontextmanager
async def client_of(receiver: ReceiverProgram) -> AsyncIterator[Any]:
    """Yield a function that posts to the receiver and returns the status."""
    async with httpx.AsyncClient(timeout=DEADLINE_S, trust_env=False) as client:

        async def post(headers: dict[str, str], body: bytes) -> int:
            return (await client.post(receiver.url, headers=headers, content=body)).status_code

        yield post


async def make_tables(receiver: ReceiverProgram) -> None:
    """Let the receiver create its tables, which some do at the first event, with an event that causes no work."""
    body = json.dumps(EVENT_TYPES["JobCompletedEvent"].example).encode()
    async with client_of(receiver) as post:
        assert await post(signed(receiver.secret, "evt_0", body, type_="JobCompletedEvent"), body) == 204, (
            receiver.log()
        )


async def test_receiver_verifies_signatures_and_answers_each_fault(receiver: ReceiverProgram) -> None:
    await receiver.start()
    secret = receiver.secret
    other = new_secret("hmac")
    body = json.dumps(ORDER).encode()
    async with client_of(receiver) as post:
        assert await post(signed(secret, "evt_1", body), body) == 204, receiver.log()
        assert await post(signed(secret, "evt_1", body), body) == 204, "a repeat is fine"
        assert await post(signed(other, "evt_2", body), body) == 401, "another secret"
        assert await post(signed(secret, "evt_2", body), body + b" ") == 401, "another body"
        assert await post(signed(secret, "evt_2", body, age_s=3600), body) == 401, "too old"
        assert await post(signed(secret, "evt_2", body, age_s=-3600), body) == 401, "from the future"
        assert await post(signed(secret, "evt_2", body) | {"webhook-id": "evt_3"}, body) == 401, "another id"
        assert await post({"content-type": "application/json"}, body) == 401, "no signature"
        both = signed(secret, "evt_4", body)
        both["webhook-signature"] = (
            f"v1a,AAAA {signed(other, 'evt_4', body)['webhook-signature']} {both['webhook-signature']}"
        )
        assert await post(both, body) == 204, "one of several signatures, as during a rotation"
        other_case = TRICKY[:-1] + b',"orderid":6,"ORDERID":7}'
        assert await post(signed(secret, "evt_5", other_case), other_case) == 204, "properties are compared with case"
        for number, broken in enumerate((b'{"OrderId":', b"[1]", b"null")):
            assert await post(signed(secret, f"evt_broken{number}", broken), broken) == 400, broken
        large = b'{"OrderNo":"' + b"x" * 1_100_000 + b'"}'
        assert await post(signed(secret, "evt_large", large), large) == 413
        assert await post(signed(secret, "evt_new", b"{}", type_="NewTypeEvent"), b"{}") == 204, "an unknown type"
        assert await post(signed(secret, "evt_new2", b"{}", type_="constructor"), b"{}") == 204, "an unknown type"

    assert receiver.query(WORK) == [*[(ORDER["OrderId"], "integer")] * 2, (BIG, "integer")]
    stored = receiver.query("SELECT webhook_id FROM received_event ORDER BY 1")
    assert stored == [("evt_1",), ("evt_4",), ("evt_5",)]


async def test_receiver_of_a_server_does_each_event_once(receiver: ReceiverProgram, server: ServerProcess) -> None:
    await server.start()
    async with server.client() as client:
        for name in (HOSTILE["name"], "NewTypeEvent"):
            made = await client.post("/v1/event-types", json={**HOSTILE, "name": name})
            assert made.status_code == 201, made.text
        endpoint = {"client_id": 1, "url": receiver.url, "event_types": ["*"]}
        answer = await client.post("/v1/endpoints", json=endpoint)
        assert answer.status_code == 201, answer.text
        receiver.secret = answer.json()["secret"]
        await receiver.start()
        bodies: list[tuple[str, bytes]] = [
            (each.name, json.dumps({**each.example, "ClientId": 1}).encode()) for each in event_types()
        ]
        bodies += [
            ("OrderConfirmedEvent", TRICKY),
            ("InvoiceCaptureCompletedEvent", b'{"ClientId":1,"ApplicationId":1,"CapturedInvoiceId":1,"State":"Error"}'),
            ("String", b'{"ClientId":1,"class":"b","String":1e3,"order-id":5.0,"order_id":null,"Free":[1,{}],"Rate":7,'
             b'"Lines":[],"Detail":{"a":[9007199254740993]},"Done":true,"7 d\\u00edas`\\"\'\\\\":12,"more":{}}'),
            ("NewTypeEvent", b'{"ClientId":1,"class":"b","String":1,"order_id":2,"Free":null}'),
        ]  # fmt: skip
        ids = []
        for name, body in bodies:
            accepted = await client.post(
                f"/v1/events/{name}", content=body, headers={"content-type": "application/json"}
            )
            assert accepted.status_code == 202, accepted.text
            ids.append(accepted.json()["id"])
        (book,) = await until_settled(server)
        assert (book["delivered"], book["dead"]) == (len(bodies), 0), receiver.log()
        attempts = [
            delivery["attempt_count"]
            for delivery in (await client.get("/v1/deliveries", params={"limit": 200})).json()["items"]
        ]
        assert attempts == [1] * len(bodies), receiver.log()
        wanted = [(ORDER["OrderId"], "integer"), (BIG, "integer")]
        assert sorted(receiver.query(WORK)) == wanted

        replay = {"endpoint_id": answer.json()["id"], "since": "1h", "only": "all"}
        replay["since"] = time.strftime("%Y-%m-%dT00:00:00Z", time.gmtime(time.time() - 86_400))
        assert (await client.post("/v1/replays", json=replay)).status_code in {201, 202}
        async with asyncio.timeout(DEADLINE_S):
            while (await until_settled(server))[0]["delivered"] < 2 * len(bodies):
                await asyncio.sleep(0.05)
        assert sorted(receiver.query(WORK)) == wanted, "a replay has the ids of the first time"
        known = {event_id for (name, _), event_id in zip(bodies, ids, strict=True) if name in EVENT_TYPES}
        stored = {event_id for (event_id,) in receiver.query("SELECT webhook_id FROM received_event")}
        assert {ids[4], ids[-4]} <= stored
        assert ids[-1] not in stored, "a later version of the receiver may know the type"
        assert stored <= known | {ids[len(EVENT_TYPES)], ids[-2]}


@pytest.mark.parametrize("table", ["work", "received_event"])
async def test_receiver_whose_work_or_id_cannot_be_stored_stores_neither(receiver: ReceiverProgram, table: str) -> None:
    await receiver.start()
    await make_tables(receiver)
    body = json.dumps(ORDER).encode()
    async with client_of(receiver) as post:
        receiver.query(f"CREATE TRIGGER fault AFTER INSERT ON {table} BEGIN SELECT RAISE(ABORT, 'a fault'); END")
        assert await post(signed(receiver.secret, "evt_1", body), body) == 500, receiver.log()
        assert receiver.query(WORK) == []
        assert receiver.query("SELECT * FROM received_event WHERE webhook_id = 'evt_1'") == []
        receiver.query("DROP TRIGGER fault")
        assert await post(signed(receiver.secret, "evt_1", body), body) == 204, receiver.log()

    assert receiver.query(WORK) == [(ORDER["OrderId"], "integer")]


async def test_receiver_killed_before_the_commit_has_done_nothing_and_then_does_it_once(
    receiver: ReceiverProgram,
) -> None:
    await receiver.start()
    await make_tables(receiver)
    body = json.dumps({**ORDER, "OrderId": BIG}).encode()
    async with client_of(receiver) as post:
        async with receiver.commits_held():
            first = asyncio.create_task(post(signed(receiver.secret, "evt_1", body), body))
            await receiver.until_commit_waits()
            receiver.kill()
            with pytest.raises(httpx.TransportError):
                await first
        assert receiver.query(WORK) == []
        assert receiver.query("SELECT * FROM received_event WHERE webhook_id = 'evt_1'") == []
        await receiver.start()
        assert await post(signed(receiver.secret, "evt_1", body), body) == 204

    assert receiver.query(WORK) == [(BIG, "integer")]


async def test_receiver_killed_after_the_commit_does_a_repeat_no_second_time(
    receiver: ReceiverProgram,
) -> None:
    await receiver.start()
    secret = receiver.secret
    body = json.dumps(ORDER).encode()
    await make_tables(receiver)
    async with client_of(receiver) as post:
        first = asyncio.create_task(post(signed(secret, "evt_1", body), body))
        async with asyncio.timeout(DEADLINE_S):
            while not receiver.query(WORK):
                await asyncio.sleep(0)
        receiver.kill()
        await asyncio.gather(first, return_exceptions=True)  # it may have been answered just before
        await receiver.start()
        assert await post(signed(secret, "evt_1", body), body) == 204

    assert receiver.query(WORK) == [(ORDER["OrderId"], "integer")]


async def test_receiver_whose_database_is_locked_answers_an_error_within_the_limit(
    receiver: ReceiverProgram,
) -> None:
    await receiver.start()
    secret = receiver.secret
    body = json.dumps(ORDER).encode()
    await make_tables(receiver)
    async with client_of(receiver) as post:
        async with receiver.commits_held(), asyncio.timeout(DEADLINE_S):
            assert await post(signed(secret, "evt_1", body), body) == 500
        assert receiver.query(WORK) == []
        assert await post(signed(secret, "evt_1", body), body) == 204, receiver.log()

    assert receiver.query(WORK) == [(ORDER["OrderId"], "integer")]


_SHOW: Final = """
import { readJson, parseEvent } from "./dist/events.js";
const show = (value) =>
  typeof value === "bigint" ? { bigint: String(value) }
  : Array.isArray(value) ? value.map(show)
  : typeof value === "object" && value !== null
    ? Object.fromEntries(Object.entries(value).map(([name, inner]) => [name, show(inner)]))
  : value;
const attempt = (read) => { try { return show(read()); } catch (error) { return { error: error.name }; } };
const texts = JSON.parse(await new Response(process.stdin).text());
console.log(JSON.stringify(texts.map((text) => [
  attempt(() => readJson(text)), attempt(() => parseEvent("OrderConfirmedEvent", text)?.data),
])));
"""
_PIECES: Final = (
    "OrderId", '"', "\\", '\\"', '"OrderId":1', "{", "}", "[", ",", ":", " ", "12345678901234567890", "-1", "1e3", "é", "\u2028"
)  # fmt: skip
_NUMBERS: Final = (
    "0", "-0", "7", "1e3", "-1.5E-7", "1.0", "0.1", str(2**53 - 1), str(2**53), str(2**53 + 1), str(-(2**53) - 1),
    str(2**63 - 1), str(-(2**63)), "123456789012345678901234567890", "1234567890123456.5", "1E400",
)  # fmt: skip


def _random_json(rng: random.Random, depth: int = 0) -> str:
    """Return JSON with strings that look like other JSON, white space between, and numbers of all forms."""
    space = rng.choice(("", "", " ", "\n\t"))
    kind = rng.choice(("string", "number", "number", "word", "object", "array") if depth < 4 else ("string", "number"))
    if kind == "string":
        text = json.dumps("".join(rng.choices(_PIECES, k=rng.randrange(5))), ensure_ascii=rng.random() < 0.5)
    elif kind == "number":
        text = rng.choice(_NUMBERS)
    elif kind == "word":
        text = rng.choice(("true", "false", "null"))
    elif kind == "array":
        text = "[" + ",".join(_random_json(rng, depth + 1) for _ in range(rng.randrange(4))) + "]"
    else:
        names = [json.dumps("".join(rng.choices(_PIECES, k=2))) for _ in range(rng.randrange(4))]
        text = "{" + ",".join(f"{space}{name}{space}:{_random_json(rng, depth + 1)}" for name in names) + "}"
    return f"{space}{text}{space}"


def _expected(value: Any) -> Any:
    """Return what the reader of TypeScript makes of a value that Python read."""
    if isinstance(value, dict):
        return {name: _expected(inner) for name, inner in value.items()}
    if isinstance(value, list):
        return [_expected(inner) for inner in value]
    if type(value) is int and abs(value) >= 2**53:
        return {"bigint": str(value)}
    return None if value in {math.inf, -math.inf} else value  # JSON.stringify has no infinity


def test_typescript_reads_json_as_python_does_and_keeps_integers(tmp_path: Path) -> None:
    build("typescript", tmp_path)
    rng = random.Random(15)
    texts = [_random_json(rng) for _ in range(3_000)]
    broken = [
        "",
        "{",
        '{"a":1',
        "[1,]",
        "01",
        "12345678901234567890x",
        "1234567890123456.",
        "-",
        '"\\',
        "{'a':1}",
        "nul",
    ]
    orders = {
        TRICKY.decode(): str(BIG),
        '{"OrderId":5}': "5",
        '{"OrderId":1e3}': "1000",
        '{"OrderId":5.0}': "5",
        f'{{"OrderId":{BIG}.0}}': str(BIG),
        f'{{"OrderId":{-(2**63)}}}': str(-(2**63)),
        f'{{"OrderId":1,"OrderId":{BIG}}}': str(BIG),
        f'{{"OrderId":{BIG},"OrderId":2}}': "2",
        f'{{"__proto__":{{"OrderId":1}},"OrderId":{BIG}}}': str(BIG),
    }
    inexact = ['{"OrderId":1.5}', '{"OrderId":9.007199254740993e16}', '{"OrderId":1e400}']
    script = tmp_path / "show.mjs"
    script.write_text(_SHOW)
    given = json.dumps([*texts, *broken, *orders, *inexact])
    done = subprocess.run(
        ["node", str(script)], input=given, capture_output=True, text=True, check=False, timeout=DEADLINE_S
    )
    assert done.returncode == 0, done.stderr
    shown = json.loads(done.stdout)

    for text, (read, _) in zip(texts, shown, strict=False):
        assert read == _expected(json.loads(text)), text
    rest = shown[len(texts) :]
    for text, (read, _) in zip(broken, rest, strict=False):
        assert read == {"error": "SyntaxError"}, text
    for (text, order_id), (_, event) in zip(orders.items(), rest[len(broken) :], strict=False):
        assert event["OrderId"] == {"bigint": order_id}, text
    for text, (_, event) in zip(inexact, rest[-len(inexact) :], strict=True):
        assert event == {"error": "SyntaxError"}, text


@pytest.mark.parametrize(
    ("language", "grammar"), [("csharp", tree_sitter_c_sharp.language()), ("php", tree_sitter_php.language_php())]
)
def test_generated_file_has_no_syntax_error(language: str, grammar: Any, tmp_path: Path) -> None:
    parser = tree_sitter.Parser(tree_sitter.Language(grammar))
    write_files(language, tmp_path, event_types())
    sources = [each for each in tmp_path.rglob("*") if each.suffix in {".cs", ".php"}]

    assert len(sources) == 2
    for source in sources:
        text = source.read_bytes()
        assert not parser.parse(text).root_node.has_error, source
        before, _, after = text.rpartition(b"}")
        assert parser.parse(before + after).root_node.has_error, "the parser finds a missing bracket"


async def test_shell_sample_signature_is_accepted_by_receivers(tmp_path: Path) -> None:
    if shutil.which("openssl") is None or shutil.which("curl") is None:
        pytest.skip("openssl or curl is not installed here")
    secret = new_secret("hmac")
    receiver = ReceiverProgram(build("python", tmp_path), tmp_path, tmp_path)
    receiver.secret = secret
    await receiver.start()
    script = tmp_path / "signed.sh"
    script.write_text(SIGNED.main.text)
    try:
        for given, wanted in ((secret, "204"), (new_secret("hmac"), "401")):
            environment = {**os.environ, "WEBHOOK_SECRET": given, "TARGET": receiver.url}
            run = await asyncio.to_thread(
                subprocess.run, ["sh", str(script)], env=environment, capture_output=True, text=True, check=True
            )
            assert run.stdout.strip() == wanted, run.stderr
    finally:
        receiver.kill()
