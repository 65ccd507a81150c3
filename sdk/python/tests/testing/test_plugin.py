"""The pytest plugin as its users run it: in a run of pytest of its own."""

import subprocess
import sys
from collections.abc import Callable

import pytest

from plugin_runs import NAMED

pytest_plugins = ["pytester"]

APP = """
import pytest
from commerce_event_sdk import Category, OrderConfirmedEvent, OrderPaymentReceivedEvent, OrderReceivedEvent, Receiver, RetryLater
from commerce_event_sdk.testing import SECRET, RETRY_DELAYS_S, lives
"""
Run = Callable[..., pytest.RunResult]


@pytest.fixture
def run(pytester: pytest.Pytester) -> Run:
    def run(code: str, *arguments: str) -> pytest.RunResult:
        pytester.makepyfile(APP + code)
        return pytester.runpytest_inprocess("-p", "no:asyncio", *NAMED, *arguments)

    return run


def test_plugin_imports_the_sdk_only_when_a_test_asks_for_it() -> None:
    code = "import sys, commerce_event_pytest; sys.exit('commerce_event_sdk' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_fixtures_are_described_in_the_list_of_fixtures(run: Run) -> None:
    out = run("", "--fixtures").stdout.str()
    assert "commerce_event_receiver" in out
    assert "the same seed, the same events" in out


def test_receiver_fixture_sends_signed_events_to_a_receiver(run: Run) -> None:
    done = run(
        """
def test_confirmed(commerce_event_receiver, shop):
    mails = []
    app = Receiver(secret=SECRET)

    @app.on(OrderConfirmedEvent)
    def confirmed(event, delivery):
        mails.append((event.OrderNo, delivery.attempt, delivery.sequence, delivery.is_replay))

    receiver = commerce_event_receiver(app)
    order = shop.order()
    assert receiver.send(order.confirmed()).status == 204
    assert receiver.send(order.confirmed(), id="evt_1", replay=True, attempt=3).is_delivered
    receiver.send(order.confirmed(), id="evt_1", attempt=4)
    receiver.send(order.confirmed())
    assert mails == [
        (order.OrderNo, 1, 1, False), (order.OrderNo, 3, 2, True), (order.OrderNo, 4, 2, False), (order.OrderNo, 1, 3, False)
    ]
    receiver.assert_answers_within(5)
    receiver.assert_refuses_wrong_signature(order.confirmed(), mails)
    receiver.assert_refuses_old_timestamp(order.confirmed())
    receiver.assert_accepts_unknown(order.confirmed())
"""
    )
    done.assert_outcomes(passed=1)


def test_send_repeats_after_the_documented_delays_by_the_fake_clock(run: Run) -> None:
    done = run(
        """
def test_repeats(commerce_event_receiver, shop):
    failures = [RuntimeError("first"), RetryLater(40), RetryLater(1)]
    app = Receiver(secret=SECRET)

    @app.on("*")
    def handle(event):
        if failures:
            raise failures.pop(0)

    receiver = commerce_event_receiver(app)
    began = shop.clock()
    sent = receiver.send(shop.price_changed())
    assert [each.status for each in sent.attempts] == [500, 503, 503, 204]
    assert [each.at_s - began for each in sent.attempts] == [0, 5, 45, 60]  # 5 s, then 40 s as asked, then 15 s
    assert [each.number for each in sent.attempts] == [1, 2, 3, 4]
    assert len({each.webhook_id for each in sent.attempts}) == 1

    failures[:] = [RuntimeError("again")] * 99
    began = shop.clock()
    assert not receiver.send(shop.price_changed()).is_delivered
    assert len(failures) == 99 - 17
    assert shop.clock() - began == sum(RETRY_DELAYS_S)


def test_an_answer_after_five_seconds_is_repeated(commerce_event_receiver, commerce_event_clock, shop):
    app = Receiver(secret=SECRET)

    @app.on(OrderConfirmedEvent)
    def slow(event, delivery):
        if delivery.attempt == 1:
            commerce_event_clock.sleep(6)

    receiver = commerce_event_receiver(app)
    sent = receiver.send(shop.order().confirmed())
    assert [each.is_success for each in sent.attempts] == [False, True]
    with pytest.raises(AssertionError, match="An answer took 6.0. s; 5 s are allowed"):
        receiver.assert_answers_within(5)
    receiver.assert_answers_within(7)


def test_410_ends_the_attempts(commerce_event_receiver, shop):
    from commerce_event_sdk import Gone
    app = Receiver(secret=SECRET)

    @app.on(OrderConfirmedEvent)
    def gone(event):
        raise Gone

    assert len(commerce_event_receiver(app).send(shop.order().confirmed()).attempts) == 1
"""
    )
    done.assert_outcomes(passed=3)


def test_shop_fixture_is_new_for_each_test_and_follows_the_seed(run: Run) -> None:
    done = run(
        """
made = []

def test_one(shop):
    made.append(shop.order().confirmed())
    shop.advance(hours=2)
    assert shop.clock.elapsed_s == 7200

def test_two(shop):
    assert shop.clock.elapsed_s == 0
    assert shop.order().confirmed() == made[0]

class TestOther:
    @pytest.fixture
    def commerce_event_seed(self):
        return 8

    def test_three(self, shop):
        assert shop.order().confirmed() != made[0]
"""
    )
    done.assert_outcomes(passed=3)


def test_secret_fixture_can_be_overridden_and_secret_be_given(run: Run) -> None:
    other = "whsec_b3RoZXItc2VjcmV0LW9mLW5vYm9keS1hdC1hbGw="
    done = run(
        f"""
OTHER = {other!r}

@pytest.fixture
def commerce_event_secret():
    return OTHER

def app(**options):
    made = Receiver(**options)
    made.on("*")(lambda event: None)
    return made

def test_overridden(commerce_event_receiver, shop):
    assert commerce_event_receiver(app(secret=OTHER)).send(shop.job_completed()).is_delivered

def test_given(commerce_event_receiver, shop):
    receiver = commerce_event_receiver(app(secret=SECRET), secret=SECRET)
    assert receiver.send(shop.job_completed()).is_delivered
    assert receiver.send(shop.job_completed(), secret=OTHER, attempts_max=1).status == 401

def test_static_header_alone(commerce_event_receiver, shop):
    receiver = commerce_event_receiver(app(header=("X-Key", "abc")), secret=None, header=("X-Key", "abc"))
    receiver.assert_refuses_wrong_signature(shop.job_completed())
    assert receiver.send(shop.job_completed()).is_delivered

def test_bare_platform(commerce_event_receiver, shop):
    keys = []
    receiving = Receiver(header=("X-Key", "abc"))
    receiving.on("*")(lambda event, delivery: keys.append(delivery.message_id))
    receiver = commerce_event_receiver(
        receiving, path="/hooks/{{event_type}}", bare=True, header=("X-Key", "abc"))
    order = shop.order()
    receiver.send(order.confirmed(), repeat=1)
    assert len(keys) == 2 and keys[0] == keys[1] and keys[0].startswith("content:")
"""
    )
    done.assert_outcomes(passed=4)


def test_lives_are_sent_with_their_headers_at_their_times(run: Run) -> None:
    done = run(
        """
def test_life(commerce_event_receiver, shop):
    seen = []
    app = Receiver(secret=SECRET)
    app.on("*")(lambda event, delivery: seen.append((event, delivery.webhook_id, delivery.attempt, delivery.sequence)))
    receiver = commerce_event_receiver(app)
    sent = receiver.send_life("repeats_and_reordering")
    arrivals = lives.load("repeats_and_reordering")
    assert all(each.is_delivered for each in sent)
    assert shop.clock.elapsed_s == pytest.approx(arrivals[-1].offset)
    assert seen == [(event, headers["webhook-id"], int(headers["commerce-event-attempt"]),
                     int(headers["commerce-event-sequence"])) for _, event, headers in arrivals]
"""
    )
    done.assert_outcomes(passed=1)


NAIVE = """
@pytest.fixture
def naive(commerce_event_receiver):
    mails = []
    app = Receiver(secret=SECRET)
    app.on(OrderConfirmedEvent)(lambda event: mails.append(event))
    receiver = commerce_event_receiver(app)
    receiver.mails = mails
    return receiver

@pytest.fixture
def careful(commerce_event_receiver):
    import threading
    mails, ids, lock = [], set(), threading.Lock()
    app = Receiver(secret=SECRET)

    @app.on(Category.ORDER)
    def handle(event, delivery):
        with lock:
            if delivery.webhook_id not in ids:
                ids.add(delivery.webhook_id)
                mails.append(event)

    receiver = commerce_event_receiver(app)
    receiver.mails = mails
    return receiver
"""


def test_repeats_a_careful_receiver_passes_and_a_naive_one_fails_with_advice(run: Run) -> None:
    done = run(
        NAIVE
        + """
@pytest.mark.parametrize("at_once", [False, True])
def test_careful(careful, shop, at_once):
    careful.assert_survives_repeats(shop.order().confirmed(), careful.mails, at_once=at_once)
    careful.assert_processed_once(shop.order().confirmed(), lambda: len(careful.mails), repeat=2)

def test_naive_once(naive, shop):
    naive.assert_processed_once(shop.order().confirmed(), naive.mails)

def test_naive_repeats(naive, shop):
    naive.assert_survives_repeats(shop.order().confirmed(), naive.mails)

def test_naive_at_once(naive, shop):
    naive.assert_survives_repeats(shop.order().confirmed(), naive.mails, at_once=True)
"""
    )
    done.assert_outcomes(passed=3, failed=2)
    done.stdout.fnmatch_lines(
        [
            "E*OrderConfirmedEvent arrived 4 times with the same webhook-id evt_* and had 4 effects instead of one.",
            "E*Record the webhook-id in the same transaction as the work: inbox.accept(*",
        ]
    )


def test_assertions_say_what_happened_and_what_to_do(run: Run) -> None:
    done = run(
        NAIVE
        + """
def test_nothing_sent(naive):
    naive.assert_answers_within(5)

def test_no_handler(naive, shop):
    naive.assert_processed_once(shop.order().received(), naive.mails)

def test_other_secret(commerce_event_receiver, shop):
    app = Receiver(secret="whsec_b3RoZXItc2VjcmV0LW9mLW5vYm9keS1hdC1hbGw=")
    app.on("*")(lambda event: None)
    receiver = commerce_event_receiver(app)
    receiver.assert_delivered(receiver.send(shop.order().received()))

def test_no_signature(commerce_event_receiver, shop):
    app = Receiver(header=("X-Key", "abc"))
    app.on("*")(lambda event: None)
    commerce_event_receiver(app, header=("X-Key", "abc")).assert_refuses_wrong_signature(shop.order().received())

def test_no_timestamp(commerce_event_receiver, shop):
    app = Receiver(secret=SECRET, tolerance_s=1e9)
    app.on("*")(lambda event: None)
    commerce_event_receiver(app).assert_refuses_old_timestamp(shop.order().received())

def test_unknown(commerce_event_receiver, shop):
    app = Receiver(secret=SECRET, unhandled="reject")
    app.on(OrderReceivedEvent)(lambda event: None)
    commerce_event_receiver(app).assert_accepts_unknown(shop.order().received())

def test_crash(commerce_event_receiver, shop):
    def app(environ, start_response):
        raise LookupError("no table orders")
    receiver = commerce_event_receiver(app)
    receiver.assert_delivered(receiver.send(shop.order().received()))

def test_target(commerce_event_receiver):
    commerce_event_receiver(42)
"""
    )
    done.assert_outcomes(failed=8)
    done.stdout.fnmatch_lines(
        [
            "E*Nothing was sent yet.*",
            "E*OrderReceivedEvent was answered 204 but had no effect.",
            "E*Is a handler registered for it, and did it fail?*",
            "E*OrderReceivedEvent was not delivered:",
            "E*attempt 1 of OrderReceivedEvent evt_*: 401 *no signature matches*",
            "E*override the fixture commerce_event_secret.",
            "E*A request with the signature of another secret was not refused with 401 but answered so:",
            "E*Verify the signature over the raw bytes*",
            "E*signed 3600 s ago was not refused*",
            "E*An event with an unknown event type was not answered 2xx*",
            "E*LookupError: no table orders*",
            "E*TypeError: 42 is no Receiver, no ASGI or WSGI application, and no URL",
        ]
    )


def test_order_assertions_find_events_handled_in_another_order(run: Run) -> None:
    done = run(
        NAIVE
        + """
def state_machine(commerce_event_receiver, compare):
    states = {}
    app = Receiver(secret=SECRET)

    @app.on(Category.ORDER)
    def handle(event, delivery):
        last, _ = states.get(event.business_key, (0, ""))
        if not compare or delivery.sequence > last:
            states[event.business_key] = (delivery.sequence, event.event_type)

    return commerce_event_receiver(app), states

def test_kept(careful, shop):
    careful.assert_order_kept(shop.order().life("partly_delivered"), careful.mails)

def test_not_kept(commerce_event_receiver, shop):
    handled = []
    app = Receiver(secret=SECRET)
    app.on("*")(lambda event: handled.insert(0, event.event_type))
    commerce_event_receiver(app).assert_order_kept(
        shop.order().life("cancelled"), lambda: handled, as_handled=lambda event: event.event_type)

def test_reordering_ignored(commerce_event_receiver, shop):
    receiver, states = state_machine(commerce_event_receiver, compare=False)
    receiver.assert_survives_reordering(
        shop.order().life("delivered")[:4], shop.order().life("delivered")[:4], lambda key: states[key][1])

def test_reordering_survived(commerce_event_receiver, shop):
    receiver, states = state_machine(commerce_event_receiver, compare=True)
    receiver.assert_survives_reordering(
        shop.order().life("delivered")[:4], shop.order().life("delivered")[:4], lambda key: states[key][1])
"""
    )
    done.assert_outcomes(passed=2, failed=2)
    done.stdout.fnmatch_lines(
        [
            "E*The events of order:* were sent in this order:",
            "E*OrderReceivedEvent",
            "E*and handled in this one:",
            "E*OrderCancelledEvent",
            "E*In order, the events end in 'OrderDeliveredEvent'; in reverse order in 'OrderReceivedEvent'.",
        ]
    )


def test_inbox_is_worked_until_idle_before_an_effect_is_counted(run: Run) -> None:
    done = run(
        """
class Inbox:  # stores in memory; the real one has tests of its own
    def __init__(self):
        self.stored, self.ids = [], set()

    def put(self, delivery, key):
        is_new = delivery.message_id not in self.ids
        self.ids.add(delivery.message_id)
        self.stored += [delivery] * is_new
        return is_new

    def worker(self, receiver):
        class Worker:
            def run_until_idle(worker):
                while self.stored:
                    receiver.dispatch(self.stored.pop(0))
        return Worker()

def test_inbox(commerce_event_receiver, shop):
    mails = []
    app = Receiver(secret=SECRET, inbox=Inbox())
    app.on(OrderConfirmedEvent)(lambda event: mails.append(event))
    commerce_event_receiver(app).assert_survives_repeats(shop.order().confirmed(), mails)
    receiver = commerce_event_receiver(app.wsgi(), worker=app.inbox.worker(app))
    receiver.assert_survives_repeats(shop.order().confirmed(), mails)
    assert receiver.send(shop.order().confirmed()).status == 202
    assert len(mails) == 2
    receiver.work_inbox()
    assert len(mails) == 3
"""
    )
    done.assert_outcomes(passed=1)
