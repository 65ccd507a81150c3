"""Say what an event setting does, and which row a change is of, for people."""

from collections.abc import Mapping
from typing import Any, Final

from commerce_event.contract.entities import NOTIFICATIONS
from commerce_event.core.changes.model import EventSetting
from commerce_event.core.durations import setting_duration
from commerce_event.core.filter_words import cut, describe_filter, listed, value_words

_KEY_TEXT_MAX: Final = 80  # characters of a value in a key
_PARTS_SHOWN: Final = 3  # of a list in a key

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


def describe_entity(entity: str) -> str:
    """Return what a row of the entity is: ``a customer's address``; for an unknown one ``a row of tName``."""
    return _ENTITIES.get(entity, f"a row of {entity}")


def describe_key(key: Mapping[str, Any]) -> str:
    """Return the key of a change in one line, such as ``CustomerId 12``; long lists and texts are cut."""
    return ", ".join(f"{name} {_key_part(value)}" for name, value in key.items())


def _key_part(value: Any) -> str:
    if not isinstance(value, list):
        return value_words(value, _KEY_TEXT_MAX)
    shown = ", ".join([value_words(each, _KEY_TEXT_MAX) for each in value[:_PARTS_SHOWN]])
    more = len(value) - _PARTS_SHOWN
    return f"{shown} and {more} more" if more > 0 else shown


def describe_setting(setting: EventSetting) -> str:
    """Return what a setting does, as one sentence of bounded length."""
    sentence = f"{_when(setting)}, tell {_whom(setting)} with {setting.event_type} ({setting.entity})"
    if setting.filter:
        sentence += f", where {describe_filter(setting.filter)}"
    if setting.coalesce_s:
        sentence += f"; changes within {setting_duration(setting.coalesce_s)} become one"
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
    sentence = f"When {what} is {listed(verbs)}"
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
    names = listed([cut(name) for name in fields])
    return (names, "changes") if value is None else (value, f"changes together with its {names}")
