"""Vietnamese first, English beside it: every text of a dashboard is said in one language by one of these."""

from enum import StrEnum

from devices.standard_data import Text
from devices.vocabulary import VOCABULARY


class Language(StrEnum):
    """Which variant of the dashboards."""

    VI = "vi"
    EN = "en"


class Say:
    """Says a text in one language."""

    def __init__(self, language: Language) -> None:
        self.language = language

    def __call__(self, vi: str, en: str) -> str:
        """One of the two."""
        return vi if self.language is Language.VI else en

    def of(self, text: Text) -> str:
        """A text of the standards."""
        return self(text.vi, text.en)

    def name(self, property_name: str) -> str:
        """What an observed property is called."""
        entry = VOCABULARY[property_name]
        return self(entry.vi, entry.en)

    def labelled(self, property_name: str) -> str:
        """The same with its unit, where no axis says it.

        >>> Say(Language.EN).labelled("power")
        'Active power [W]'
        """
        symbol = VOCABULARY[property_name].symbol
        return f"{self.name(property_name)} [{symbol}]" if symbol else self.name(property_name)

    def uid(self, name: str) -> str:
        """The stable uid of a dashboard.

        >>> Say(Language.VI).uid("air"), Say(Language.EN).uid("air")
        ('village-air', 'village-air-en')
        """
        return f"village-{name}" + self("", "-en")
