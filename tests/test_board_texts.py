"""The board's texts and files, without a browser: two languages that match, no address off the machine."""

import json
import re
from html.parser import HTMLParser

from tests.board_server import WEB


class _Keyed(HTMLParser):
    """Texts and labels of the page with the keys they are translated by."""

    def __init__(self) -> None:
        super().__init__()
        self.found: dict[str, str] = {}
        self._key: str | None = None

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        self._key = given.get("data-t")
        for key, shown in (("data-t-label", "aria-label"), ("data-t-hint", "placeholder")):
            if given.get(key):
                self.found[given[key] or ""] = given[shown] or ""

    def handle_data(self, data: str) -> None:
        if self._key and data.strip():
            self.found[self._key] = data.strip()
            self._key = None


def test_both_languages_say_the_same_things() -> None:
    """The same keys with the same blanks; Vietnamese with its marks; the bare page already speaks Vietnamese."""
    vi, en = (json.loads((WEB / "i18n" / f"{code}.json").read_text("utf-8")) for code in ("vi", "en"))
    assert set(vi) == {key for key in en if not key.endswith(".one")}
    blanks = re.compile(r"\{(\w+)\}")
    assert [key for key in vi if set(blanks.findall(vi[key])) != set(blanks.findall(en[key]))] == []
    assert len(re.findall("[ạảấầẩậắằẵặẹẻẽếềểễệịỉọỏốồổỗộớờởợụủứừửữựỳỷỹđơư]", " ".join(vi.values()))) > 500
    page = _Keyed()
    page.feed((WEB / "index.html").read_text("utf-8"))
    assert page.found == {key: vi[key] for key in page.found}


def test_texts_used_exist_and_none_is_left_over() -> None:
    """Every literal key of the code is in the texts; every text is used, by its key or by its family."""
    vi = json.loads((WEB / "i18n" / "vi.json").read_text("utf-8"))
    code = "".join(path.read_text("utf-8") for path in (WEB / "js").glob("*.js")) + (WEB / "index.html").read_text(
        "utf-8"
    )
    used = set(re.findall(r"""(?:\bt\(|data-t(?:-label|-hint)?=)["']([a-z_.0-9]+)["']""", code))
    assert used - set(vi) == set()
    families = set(re.findall(r"`([a-z]+)\.\$\{", code))
    assert [key for key in vi if f'"{key}"' not in code and key.split(".")[0] not in families] == []


def test_every_file_is_ours_or_carries_its_licence() -> None:
    """Nothing points off the machine, and each vendored package lies beside its licence."""
    own = [path for path in WEB.rglob("*") if path.is_file() and "vendor" not in path.parts and path.suffix != ".woff2"]
    outside = [
        f"{path.name}: {hit}" for path in own for hit in re.findall(r"https?://[^\"'\s)]+", path.read_text("utf-8"))
    ]
    assert {hit.split(": ", 1)[1] for hit in outside} <= {"http://www.w3.org/2000/svg"}
    assert [folder.name for folder in (WEB / "vendor").glob("*/") if not (folder / "LICENSE").is_file()] == []
