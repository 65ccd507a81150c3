"""How far a listing looks from the newest on before it takes another way."""

from typing import Final

ONE_BY_ONE: Final = 2_000  # events: a page of what many have is full by then
STEPS: Final = 10  # times that many, at most
