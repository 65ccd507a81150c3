"""What a receiver must get right, as assertions that say what happened and what to do."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterable, Sized
from dataclasses import replace
from typing import Any, Final

from commerce_event_sdk.event import CommerceEvent, UnknownEvent
from commerce_event_sdk.signatures import sign
from commerce_event_sdk.testing.sender import AnyEvent, EventSender, Sent, body_of

Effect = Callable[[], Any] | Sized
_OTHER_SECRET: Final = "whsec_b3RoZXItc2VjcmV0LW9mLW5vYm9keS1hdC1hbGw="  # noqa: S105
_RECORD_ID: Final = (
    "Record the webhook-id in the same transaction as the work: inbox.accept(connection, delivery.webhook_id) returns "
    "False for a repeat."
)


class ReceiverClient(EventSender):
    """Sends events to a receiver, and asserts what a receiver must get right. For its options see EventSender.

    ``effect`` is what the events cause: a function that returns a number or a collection, or the collection itself,
    such as a list of sent mails.
    """

    def assert_delivered(self, sent: Sent) -> None:
        """The last attempt was answered 2xx within five seconds."""
        __tracebackhide__ = True
        if sent.is_delivered:
            return
        advice = "Answer 2xx as soon as the event is stored, and do the work afterwards."
        if sent.status == 401:
            advice = "Is the secret that of the receiver? Pass secret=… or override the fixture commerce_event_secret."
        elif sent.status in (404, 405):
            advice = "Pass path=… with the path where the application takes events."
        elif sent.answer is None and sent.attempts:
            advice = sent.attempts[-1].error or advice
        raise AssertionError(f"{sent.event_type} was not delivered:\n{sent}\n{advice}")

    def assert_processed_once(self, event: AnyEvent, effect: Effect, **options: Any) -> Sent:
        """Send the event, with its repeats and the work of the inbox: the effect must grow by exactly one."""
        __tracebackhide__ = True
        before = _count(effect)
        sent = self.send(event, **options)
        self.assert_delivered(sent)
        self.work_inbox()
        grown = _count(effect) - before
        if grown == 1:
            return sent
        if grown == 0:
            raise AssertionError(
                f"{sent.event_type} was answered {sent.status} but had no effect.\n{sent}\n"
                "Is a handler registered for it, and did it fail? Read the log. If an application has the inbox, pass "
                "worker=inbox.worker(receiver)."
            )
        raise AssertionError(f"{sent.event_type} had {grown} effects instead of one.\n{sent}\n{_RECORD_ID}")

    def assert_survives_repeats(
        self, event: AnyEvent, effect: Effect, *, repeats: int = 3, at_once: bool = False
    ) -> None:
        """Send the event once and then again with the same webhook-id: repeats are answered 2xx and have no effect.

        ``at_once`` sends all of them at the same moment, as when an attempt begins before the last one has ended.
        """
        __tracebackhide__ = True
        if at_once:
            before = _count(effect)
            sent = self.send_at_once(event, 1 + repeats)
            if not any(each.is_delivered for each in sent):
                self.assert_delivered(sent[0])
            # One of them was busy with the event: a platform would repeat the others.
            again = self.send(event, id=sent[0].webhook_id, attempt=2 + repeats)
        else:
            first = self.assert_processed_once(event, effect)
            before = _count(effect) - 1
            again = self.send(event, id=first.webhook_id, attempt=2, repeat=repeats - 1)
        refused = [each for each in again.attempts if not each.is_success]
        if refused:
            raise AssertionError(
                f"A repeat of {event.event_type} was not answered 2xx, so a platform repeats it for 22 hours.\n"
                f"{refused[0]}\nAnswer a repeat like the first one."
            )
        self.work_inbox()
        grown = _count(effect) - before
        if grown != 1:
            raise AssertionError(
                f"{event.event_type} arrived {1 + repeats} times with the same webhook-id {again.webhook_id} and had "
                f"{grown} effects instead of one.\n{_RECORD_ID}"
            )

    def assert_order_kept(
        self,
        events: Iterable[CommerceEvent],
        handled: Callable[[], Iterable[Any]] | Iterable[Any],
        *,
        as_handled: Callable[[CommerceEvent], Any] = lambda event: event,
    ) -> None:
        """Send events in order: those with the same business key must be handled in that order, each once.

        ``handled`` are the events as the handlers had them; ``as_handled`` returns what stands there for an event, such
        as ``lambda event: event.event_type``.
        """
        __tracebackhide__ = True
        all_events = list(events)
        for event in all_events:
            self.assert_delivered(self.send(event))
        self.work_inbox()
        found = list(handled() if callable(handled) else handled)
        for key in dict.fromkeys(each.business_key for each in all_events):
            expected = [as_handled(each) for each in all_events if each.business_key == key]
            actual = [each for each in found if each in expected]
            if actual != expected:
                raise AssertionError(
                    f"The events of {key} were sent in this order:\n  {_listed(expected)}\nand handled in this one:\n"
                    f"  {_listed(actual)}\nHandle events of one business key one after the other: an inbox does, and "
                    'ordering: "key" on the endpoint keeps the order of arrival.'
                )

    def assert_survives_reordering(
        self,
        events: Iterable[CommerceEvent],
        same_events: Iterable[CommerceEvent],
        state: Callable[[str], Any],
    ) -> None:
        """Send the life of one order in order, and that of another in reverse: both must end in the same state.

        ``state`` returns what the receiver holds, by the business key of an order, such as ``order:884211``.
        """
        __tracebackhide__ = True
        ends = []
        for is_reversed, each in enumerate((list(events), list(same_events))):
            numbered = [(self.next_sequence(), event) for event in each]
            for sequence, event in numbered[::-1] if is_reversed else numbered:
                self.assert_delivered(self.send(event, sequence=sequence))
            self.work_inbox()
            ends.append(state(str(each[0].business_key)))
        if ends[0] != ends[1]:
            raise AssertionError(
                f"In order, the events end in {ends[0]!r}; in reverse order in {ends[1]!r}.\nOrder is not guaranteed: "
                "compare commerce-event-sequence with that of the last event of the order, and do not go back in state."
            )

    def assert_answers_within(self, seconds: float = 5.0) -> None:
        """Every answer so far came within this time, by the real clock and the clock of the test together."""
        __tracebackhide__ = True
        if not self.attempts:
            raise AssertionError("Nothing was sent yet. Send an event first, then ask how long the answer took.")
        slowest = max(self.attempts, key=lambda each: each.duration_s)
        if slowest.duration_s > seconds:
            raise AssertionError(
                f"An answer took {slowest.duration_s:.2f} s; {seconds:g} s are allowed.\n{slowest}\nA platform repeats "
                "an event that is not answered in time. Store it, answer, and work afterwards: Receiver(inbox=…)."
            )

    def assert_refuses_wrong_signature(self, event: CommerceEvent, effect: Effect | None = None) -> None:
        """Requests with a wrong or no signature, a changed body, or a wrong static header are answered 401 or 403."""
        __tracebackhide__ = True
        before = None if effect is None else _count(effect)
        self.assert_delivered(self.send(event))
        self.work_inbox()
        after_one = None if effect is None else _count(effect)
        if effect is not None and after_one == before:
            raise AssertionError(f"{event.event_type} had no effect even with the right signature.")
        for what, sent in self._forged(event):
            self.work_inbox()
            if sent.status not in (401, 403):
                raise AssertionError(
                    f"A request with {what} was not refused with 401 but answered so:\n{sent}\n"
                    "Verify the signature over the raw bytes of the body first: verify(secret, headers, body)."
                )
            if effect is not None and _count(effect) != after_one:
                raise AssertionError(f"A request with {what} was refused, but the event was handled.")

    def _forged(self, event: CommerceEvent) -> Iterable[tuple[str, Sent]]:
        if self.secret is None:
            if self.header is None:
                raise AssertionError("Neither secret nor header is given, so anyone can send events to this receiver.")
            yield "a wrong static header", self.send(event, headers={self.header[0]: "wrong"}, attempts_max=1)
            return
        yield "the signature of another secret", self.send(event, secret=_OTHER_SECRET, attempts_max=1)
        yield "no signature", self.send(event, secret=None, attempts_max=1)
        webhook_id, timestamp_s = f"evt_{secrets.token_hex(8)}", int(self.timestamp())
        stolen = {
            "webhook-timestamp": str(timestamp_s),
            "webhook-signature": sign(self.secret, webhook_id, timestamp_s, body_of(event)),
        }
        changed = replace(event, extra={**event.extra, "Injected": True})
        yield "the signature of another body", self.send(changed, id=webhook_id, headers=stolen, attempts_max=1)

    def assert_refuses_old_timestamp(self, event: AnyEvent, age_s: float = 3_600) -> None:
        """A request that was signed correctly an hour ago is refused, so that a recorded one cannot be sent again."""
        __tracebackhide__ = True
        old = {"webhook-timestamp": str(int(self.timestamp() - age_s))}
        sent = self.send(event, headers=old, attempts_max=1)
        if sent.status not in (401, 403):
            raise AssertionError(
                f"A request that was signed {age_s:g} s ago was not refused with 401 but answered so:\n{sent}\n"
                "Compare webhook-timestamp with the clock; five minutes of difference are usual."
            )

    def assert_accepts_unknown(self, event: CommerceEvent) -> None:
        """A property and an event type that the receiver does not know are answered 2xx: the contract may grow."""
        __tracebackhide__ = True
        grown = replace(event, extra={**event.extra, "AddedLater": {"Value": 1}})
        new = UnknownEvent("SomethingNewEvent", {"ClientId": 1})
        for what, sent in (
            ("property", self.send(grown, attempts_max=1)),
            ("event type", self.send(new, attempts_max=1)),
        ):
            if not sent.is_delivered:
                raise AssertionError(
                    f"An event with an unknown {what} was not answered 2xx, so a platform repeats it for 22 hours.\n"
                    f"{sent}\nIgnore what you do not know."
                )


def _count(effect: Effect) -> int:
    value = effect() if callable(effect) else effect
    return value if isinstance(value, int) else len(value)


def _listed(values: Iterable[Any]) -> str:
    return "\n  ".join(str(each) for each in values) or "(none)"
