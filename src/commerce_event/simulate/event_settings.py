"""The event settings of the simulated shop: with them its changes raise the notifications that it expects."""

from typing import Any, Final

Setting = dict[str, Any]

PRICE_WINDOW_S: Final = 2.0  # prices move in bursts; one notification has the last of them

_ON_UPDATE: Final = {"on_insert": False, "on_update": True, "on_delete": False}
_CUSTOMER_FIELDS: Final = ["FirstName", "LastName", "Email", "CellPhone"]

SETTINGS: Final[tuple[Setting, ...]] = (
    {"event_type": "CustomerChangedNotification", "entity": "tClientCustomer", "fields": _CUSTOMER_FIELDS},
    {"event_type": "CustomerChangedNotification", "entity": "tClientCustomerAddress", **_ON_UPDATE},
    {"event_type": "CustomerChangedNotification", "entity": "tClientCustomerFlag"},
    {"event_type": "CompanyChangedNotification", "entity": "tClientCompany", **_ON_UPDATE},
    {"event_type": "CompanyChangedNotification", "entity": "tClientCompanyAddress", **_ON_UPDATE},
    {
        "event_type": "SkuPriceChangedNotification",
        "entity": "tClientProductSkuPriceList",
        "coalesce_s": PRICE_WINDOW_S,
    },
    {"event_type": "SkuOnHandBreakPointNotification", "entity": "tClientProductSkuOnHand", "on_delete": False},
    {"event_type": "SkuChangedNotification", "entity": "tClientProductSku", **_ON_UPDATE},
    {"event_type": "SkuChangedNotification", "entity": "tCategory", **_ON_UPDATE},
    {
        "event_type": "TranslationRequestedNotification",
        "entity": "tClientProductSkuCulture",
        **_ON_UPDATE,
        "fields": ["State"],
        "filter": {"$.after.State": "requested"},
    },
    {
        "event_type": "SupplierSkuChangedNotification",
        "entity": "tSupplierProductSku",
        **_ON_UPDATE,
        "fields": ["Description"],
    },
    {"event_type": "SupplierSkuOnHandChangedNotification", "entity": "tSupplierProductSkuOnHand"},
    {"event_type": "SupplierSkuPriceChangedNotification", "entity": "tSupplierProductSku"},
)


def settings_of(client_id: int) -> list[Setting]:
    """Return the settings in the form of `POST /v1/event-settings`."""
    return [{"client_id": client_id, **setting} for setting in SETTINGS]
