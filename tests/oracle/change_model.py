"""What changes must raise, worked out from the documented rules. Shares no code with the product."""

import json
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

Values = dict[str, Any]


@dataclass(frozen=True)
class Form:
    """A notification of the contract: the names of its subject, what else its body has, what must be true of a change."""

    subject: tuple[str, ...]
    doubles: tuple[str, ...] = ()
    texts: tuple[str, ...] = ()
    needs: tuple[str, ...] = ()
    value: str = ""  # must differ as a number
    low: bool = False  # OnHandValue must reach or fall below MinimumValue
    says_entity: bool = True


FORMS = {
    "CustomerChangedNotification": Form(("CustomerId",)),
    "SkuChangedNotification": Form(("PartNo",)),
    "SkuPriceChangedNotification": Form(
        ("PartNo", "PricelistId"),
        ("PriceSaleValue", "QuantityBreak"),
        ("PricelistCode",),
        ("PriceSaleValue",),
        value="PriceSaleValue",
        says_entity=False,
    ),
    "SkuOnHandBreakPointNotification": Form(
        ("PartNo", "WarehouseId", "LocationId"),
        ("OnHandValue", "MinimumValue"),
        ("WarehouseCode", "LocationCode"),
        ("OnHandValue", "MinimumValue"),
        low=True,
        says_entity=False,
    ),
    "SupplierSkuChangedNotification": Form(("SupplierId", "PartNo")),
    "SupplierSkuPriceChangedNotification": Form(("SupplierId", "PartNo"), value="CostValue", says_entity=False),
    "SupplierSkuOnHandChangedNotification": Form(("SupplierId", "PartNo"), value="OnHandValue"),
}


@dataclass
class Wish:
    """An event setting. ``on_in`` are the epochs of the run in which it was on."""

    client_id: int
    event_type: str
    entity: str
    operations: frozenset[str] = frozenset({"insert", "update", "delete"})
    fields: frozenset[str] | None = None
    application_id: int | None = None
    level_rises_to: int | None = None  # a filter: Level was below it, and is not now
    window_s: float = 0.0
    id: str = ""
    on_in: set[int] = field(default_factory=set)

    def body(self) -> Values:
        """Return it as `POST /v1/event-settings` takes it."""
        level = self.level_rises_to
        return {
            "client_id": self.client_id,
            "application_id": self.application_id,
            "event_type": self.event_type,
            "entity": self.entity,
            **{f"on_{name}": name in self.operations for name in ("insert", "update", "delete")},
            "fields": None if self.fields is None else sorted(self.fields),
            "filter": None if level is None else {"$.before.Level": {"lt": level}, "$.after.Level": {"gte": level}},
            "coalesce_s": self.window_s,
        }


@dataclass(frozen=True)
class SentChange:
    """A change that was acknowledged, in the form in which it was sent. ``at_once`` are the events of the first answer."""

    id: str
    body: Values
    epoch: int
    answered_first: bool = False  # the answer is that of the first try
    at_once: tuple[str, ...] = ()
    waiting: int = 0
    sent_at: float = 0.0
    acknowledged_at: float = 0.0

    @property
    def row(self) -> tuple[int, str]:
        body = self.body
        return body["client_id"], json.dumps([body["entity"], body.get("application_id"), body["key"]], sort_keys=True)


@dataclass(frozen=True)
class Notice:
    """A notification that a change must raise."""

    wish: Wish
    change_id: str
    subject: str
    body: str  # JSON with names in order


@dataclass(frozen=True)
class Prediction:
    """What a change must raise, the last known values it must be compared with, and where earlier values come from."""

    change: SentChange
    known: Values | None
    previous_from: str
    notices: list[Notice]
    fired: dict[str, bool]  # by the id of each setting that counts


def predict(changes: list[SentChange], wishes: list[Wish]) -> list[Prediction]:
    """Predict what every change raises; the changes of each row come in the order in which they were stored."""
    known: dict[tuple[int, str], tuple[int, Values]] = {}  # by row: the epoch of the last change, and the values
    found = []
    for change in changes:
        entity, client_id = change.body["entity"], change.body["client_id"]
        of_entity = [wish for wish in wishes if (wish.client_id, wish.entity) == (client_id, entity)]
        tracked_since = _tracked_since(of_entity, change.epoch)
        written = known.pop(change.row, None)
        last = None
        if tracked_since is not None and written is not None and written[0] >= tracked_since:
            last = written[1]
        prediction, after = _predict_one(change, last, of_entity)
        found.append(prediction)
        if tracked_since is not None and after is not None:
            known[change.row] = change.epoch, after
    return found


def _tracked_since(wishes: list[Wish], epoch: int) -> int | None:
    """Return the first epoch since which one and the same setting has been on; None when none is on."""
    since = []
    for wish in wishes:
        if epoch in wish.on_in:
            first = epoch
            while first - 1 in wish.on_in:
                first -= 1
            since.append(first)
    return min(since, default=None)


def _predict_one(change: SentChange, last: Values | None, of_entity: list[Wish]) -> tuple[Prediction, Values | None]:
    body = change.body
    before, after, operation = body.get("before"), body.get("after") or {}, body["operation"]
    previous = {**(last or {}), **(before or {})}
    current = {"insert": after, "update": {**previous, **after}, "delete": previous}[operation]
    changed = {name for name, value in after.items() if name not in previous or not _same(previous[name], value)}
    previous_from = "before" if before else "none" if last is None else "last known"
    notices: list[Notice] = []
    fired = {}
    for wish in of_entity:
        if change.epoch not in wish.on_in or not _counts(wish, body.get("application_id"), of_entity):
            continue
        fired[wish.id] = _is_wanted(wish, body, previous, current, changed)
        if fired[wish.id]:
            notices += _notices(wish, change, current)
    return Prediction(change, last, previous_from, notices, fired), None if operation == "delete" else current


def _counts(wish: Wish, application_id: int | None, of_entity: list[Wish]) -> bool:
    """The setting of the application itself counts, else the one of all applications."""
    if wish.application_id == application_id:
        return True
    own = [each for each in of_entity if (each.event_type, each.application_id) == (wish.event_type, application_id)]
    return wish.application_id is None and not own


def _is_wanted(wish: Wish, body: Values, previous: Values, current: Values, changed: set[str]) -> bool:
    form, operation = FORMS[wish.event_type], body["operation"]
    if operation not in wish.operations:
        return False
    if form.low:
        return operation != "delete" and _is_low(current) and not _is_low(previous)
    return (
        (operation != "update" or bool(changed if wish.fields is None else changed & wish.fields))
        and (not form.value or operation == "delete" or _value_differs(form.value, operation, previous, current))
        and all(current.get(name) is not None for name in form.needs)
        and (wish.level_rises_to is None or _level_rises(wish.level_rises_to, operation, previous, current))
    )


def _value_differs(name: str, operation: str, previous: Values, current: Values) -> bool:
    if name not in current:
        return False
    is_new = operation == "insert" or name not in previous
    return is_new or Fraction(str(previous[name])) != Fraction(str(current[name]))


def _level_rises(level: int, operation: str, previous: Values, current: Values) -> bool:
    if operation == "delete" or "Level" not in previous or "Level" not in current:
        return False
    return bool(previous["Level"] < level <= current["Level"])


def _is_low(values: Values) -> bool:
    on_hand, minimum = values.get("OnHandValue"), values.get("MinimumValue")
    return on_hand is not None and minimum is not None and Fraction(str(on_hand)) <= Fraction(str(minimum))


def _same(one: Any, other: Any) -> bool:
    return isinstance(one, bool) == isinstance(other, bool) and one == other


def _notices(wish: Wish, change: SentChange, current: Values) -> list[Notice]:
    form, body = FORMS[wish.event_type], change.body
    key = body["key"]
    parts = key.get("PartNo")
    found = []
    for part in dict.fromkeys(parts if isinstance(parts, list) else [parts]):
        told: Values = {"ClientId": body["client_id"], **{name: key[name] for name in form.subject}}
        if part is not None:
            told["PartNo"] = part
        if body.get("application_id") is not None:
            told["ApplicationId"] = body["application_id"]
        told |= {name: float(current[name]) for name in form.doubles if current.get(name) is not None}
        told |= {name: current[name] for name in form.texts if current.get(name) is not None}
        if form.says_entity:
            told["EntityChanged"] = body["entity"]
        about = [told.get(name) for name in ("ApplicationId", *form.subject, "QuantityBreak")]
        found.append(Notice(wish, change.id, json.dumps(about), canonical(told)))
    return found


def canonical(body: Values) -> str:
    """Return a body as text that is equal for equal bodies: 3 and 3.0 are one number."""
    plain = {name: float(value) if type(value) is int else value for name, value in body.items()}
    return json.dumps(plain, sort_keys=True)
