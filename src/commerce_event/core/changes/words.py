"""Say what an event setting does, and which row a change is of, for people."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from commerce_event.contract.entities import NOTIFICATIONS
from commerce_event.core.changes.model import EventSetting
from commerce_event.core.model import Filter

_NAMES_MAX: Final = 8  # fields or values in a row; the rest is counted
_TEXT_MAX: Final = 40  # characters of a name or a value
_KEY_TEXT_MAX: Final = 80  # characters of a value in a key
_PARTS_SHOWN: Final = 3  # of a list in a key
_CONDITIONS_MAX: Final = 10  # of a filter; the rest is counted

_ENTITIES: Final = {
    "tApplicationAccount": "an application account",
    "tApplicationPriceList": "an application's price list",
    "tCategory": "a category",
    "tCategoryCulture": "a category's text in a language",
    "tCategorySalesArea": "a category's sales area",
    "tClientCompany": "a company",
    "tClientCompanyAddress": "a company's address",
    "tClientCompanyDeliveryMethod": "a company's delivery method",
    "tClientCompanyDiscount": "a company's discount",
    "tClientCompanyDivision": "a company's division",
    "tClientCompanyFlag": "a company's flag",
    "tClientCompanyInfo": "a company's information",
    "tClientCompanyPaymentMethod": "a company's payment method",
    "tClientCompanyPriceList": "a company's price list",
    "tClientCustomer": "a customer",
    "tClientCustomerAddress": "a customer's address",
    "tClientCustomerCompany": "a customer's company",
    "tClientCustomerDivision": "a customer's division",
    "tClientCustomerFlag": "a customer's flag",
    "tClientCustomerInfo": "a customer's information",
    "tClientCustomerPriceList": "a customer's price list",
    "tClientManufacturer": "a manufacturer",
    "tClientProductSku": "a product",
    "tClientProductSkuCulture": "a product's text in a language",
    "tClientProductSkuOnHand": "a product's stock",
    "tClientProductSkuPriceList": "a product's price",
    "tClientProductSkuSalesArea": "a product's sales area",
    "tSupplierProductSku": "a supplier's product",
    "tSupplierProductSkuClient": "a supplier's product at a client",
    "tSupplierProductSkuOnHand": "a supplier's stock",
}
_COMPARISONS: Final = {
    "eq": "is",
    "ne": "is not",
    "in": "is one of",
    "not_in": "is none of",
    "gt": "is more than",
    "gte": "is at least",
    "lt": "is less than",
    "lte": "is at most",
    "prefix": "begins with",
    "suffix": "ends with",
    "contains": "contains",
}
_UNITS: Final = ((86_400, "d"), (3_600, "h"), (60, "min"))  # s


def describe_entity(entity: str) -> str:
    """Return what a row of the entity is: ``a customer's address``; for an unknown one ``a row of tName``."""
    return _ENTITIES.get(entity, f"a row of {entity}")


def describe_key(key: Mapping[str, Any]) -> str:
    """Return the key of a change in one line, such as ``CustomerId 12``; long lists and texts are cut."""
    return ", ".join(f"{name} {_key_part(value)}" for name, value in key.items())


def _key_part(value: Any) -> str:
    if not isinstance(value, list):
        return _value(value, _KEY_TEXT_MAX)
    shown = ", ".join([_value(each, _KEY_TEXT_MAX) for each in value[:_PARTS_SHOWN]])
    more = len(value) - _PARTS_SHOWN
    return f"{shown} and {more} more" if more > 0 else shown


def describe_setting(setting: EventSetting) -> str:
    """Return what a setting does, as one sentence of bounded length."""
    sentence = f"{_when(setting)}, tell {_whom(setting)} with {setting.event_type} ({setting.entity})"
    if setting.filter:
        sentence += f", where {_Filter().clauses(setting.filter)}"
    if setting.coalesce_s:
        sentence += f"; changes within {_duration(setting.coalesce_s)} become one"
    if setting.live:
        return f"{sentence}."
    return f"Off, so nothing is tracked. If it were on: {sentence[:1].lower()}{sentence[1:]}."


def _whom(setting: EventSetting) -> str:
    application = "" if setting.application_id is None else f" of application {setting.application_id}"
    return f"client {setting.client_id}'s endpoints{application}"


def _when(setting: EventSetting) -> str:
    source = NOTIFICATIONS.get(setting.event_type)
    what = describe_entity(setting.entity)
    if source is not None and source.rule == "break_point":
        verbs = [verb for verb, wanted in (("inserted", setting.on_insert), ("updated", setting.on_update)) if wanted]
        if not verbs:
            return f"When no change of {what} counts"
        return f"When {what} is {' or '.join(verbs)} and its {source.value} reaches or falls below MinimumValue"
    verbs = [verb for verb, wanted in (("inserted", setting.on_insert), ("deleted", setting.on_delete)) if wanted]
    changed = _changed(setting, source.value if source is not None else None) if setting.on_update else None
    if setting.on_update and changed is None:
        verbs.insert(setting.on_insert, "updated")
    if not verbs:
        return (
            f"When no change of {what} counts" if changed is None else f"When the {changed[0]} of {what} {changed[1]}"
        )
    sentence = f"When {what} is {_listed(verbs)}"
    if changed is None:
        return sentence
    return f"{sentence}{', or' if len(verbs) > 1 else ' or'} its {changed[0]} {changed[1]}"


def _changed(setting: EventSetting, value: str | None) -> tuple[str, str] | None:
    """Return which fields must change in an update, as subject and verb; None when any will do."""
    fields = setting.fields
    if value is not None and (fields is None or value in fields):
        return value, "changes"
    if fields is None:
        return None
    names = _listed([cut(name) for name in fields])
    return (names, "changes") if value is None else (value, f"changes together with its {names}")


class _Filter:
    """Says a filter in words, up to a number of conditions."""

    def __init__(self) -> None:
        self._left = _CONDITIONS_MAX
        self._more = 0

    def clauses(self, filter_: Filter) -> str:
        text = self._all(filter_)
        return f"{text}, and {_count(self._more, 'more condition')}" if self._more else text

    def _all(self, filter_: Filter) -> str:
        return " and ".join([said for name, value in filter_.items() if (said := self._clause(name, value))])

    def _clause(self, name: str, value: Any) -> str:
        if name == "not":
            said = self._all(value)
            return f"not ({said})" if said else ""
        if name in {"any", "all"}:
            members = [said for each in value if (said := self._all(each))]
            joint = " or " if name == "any" else " and "
            return f"({joint.join(members)})" if len(members) > 1 else "".join(members)
        comparisons = value if isinstance(value, dict) else {"in" if isinstance(value, list) else "eq": value}
        found = [self._comparison(name, comparison, wanted) for comparison, wanted in comparisons.items()]
        return " and ".join([each for each in found if each])

    def _comparison(self, name: str, comparison: str, wanted: Any) -> str:
        if not self._left:
            self._more += 1
            return ""
        self._left -= 1
        if comparison == "exists":
            return f"{_field(name)} is {'known' if wanted else 'absent'}"
        values = [_value(each) for each in wanted] if isinstance(wanted, list) else [_value(wanted)]
        return f"{_field(name)} {_COMPARISONS.get(comparison, comparison)} {_listed(values)}"


def _field(name: str) -> str:
    """Return a name or path of a filter: ``before.Zip`` is ``Zip before``."""
    plain = name.removeprefix("$.")
    for prefix in ("before", "after"):
        if plain.startswith(f"{prefix}."):
            return f"{cut(plain[len(prefix) + 1 :])} {prefix} the change"
    return cut(plain)


def _value(value: Any, length: int = _TEXT_MAX) -> str:
    if value is None:
        return "empty"
    if isinstance(value, bool):
        return "true" if value else "false"
    return cut(str(value), length) if value != "" else '""'


def _listed(words: Sequence[str]) -> str:
    """Return words as a person says them: ``A, B or C``, the last ones counted when there are many."""
    if len(words) > _NAMES_MAX:
        rest = len(words) - _NAMES_MAX + 1
        words = [*words[: _NAMES_MAX - 1], f"{rest} others"]
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} or {words[-1]}"


def cut(text: str, length: int = _TEXT_MAX) -> str:
    """Return a text of at most so many characters."""
    return text if len(text) <= length else f"{text[: length - 1]}…"


def _count(number: int, word: str) -> str:
    return f"{number} {word}{'' if number == 1 else 's'}"


def _duration(seconds: float) -> str:
    for size, unit in _UNITS:
        if seconds >= size and seconds % size == 0:
            return f"{seconds / size:g} {unit}"
    return f"{seconds:g} s"
