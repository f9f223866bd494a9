"""The report in a real browser: Chromium, both languages, desk and phone."""

import re
import subprocess

import pytest

import browser
import report_trail
from axe import axe, broken_rules  # noqa: F401
from test_report import EVIL, story
from tool import PLAIN, Tool

pytestmark = pytest.mark.skipif(
    browser.CHROMIUM is None, reason="needs the Debian package chromium")

BUSY = 20000  # accesses; the page's own bound is 100,000 rows

FOUND = "document.getElementById('found').textContent"


def make(trail, out, *arguments):
    result = Tool(PLAIN, out.parent)(
        "audit", "report", "--trail", trail.trail, "--index", trail.index,
        "--key", trail.vkey, "-o", out, *arguments, env={"TZ": "Asia/Tokyo"})
    assert result.returncode == 0, result.stderr
    return out


def evidence(trail, folder, lang):
    """The page of an archive about the same story."""
    folder.mkdir()
    result = Tool(PLAIN, folder)(
        "audit", "evidence", "--trail", trail.trail, "--index", trail.index,
        "--key", trail.vkey, "-o", folder / "out.tar", "--user", "yamada",
        "--lang", lang)
    assert result.returncode == 0, result.stderr
    subprocess.run(["tar", "-C", folder, "-xf", folder / "out.tar"], check=True)
    page, = folder.glob("*/index.html")
    return page


@pytest.fixture(scope="module")
def pages(tmp_path_factory):
    """Reports of the story, by name."""
    trail = story(tmp_path_factory.mktemp("story"))
    folder = tmp_path_factory.mktemp("pages")
    made = {}
    for lang in ("en", "ja"):
        made[f"officer-{lang}"] = make(trail, folder / f"officer-{lang}.html",
                                       "--month", "2026-11", "--lang", lang)
        made[f"patient-{lang}"] = make(trail, folder / f"patient-{lang}.html",
                                       "--patient", "100", "--lang", lang)
        made[f"evidence-{lang}"] = evidence(trail, folder / lang, lang)
    made["patient-evil"] = make(trail, folder / "patient-evil.html",
                                "--patient", "i" + EVIL, "--lang", "en")
    return made


@pytest.fixture(scope="module")
def chromium():
    with browser.Browser() as running:
        yield running


@pytest.fixture
def officer(chromium, pages):
    page = chromium.open(pages["officer-en"])
    yield page
    page.close()


def found(page):
    """How many records the table says it has found."""
    return int(re.match(r"[\d,]+", page.run(FOUND)).group().replace(",", ""))


def outside(page):
    """What was asked of anybody; the browser's own pictures are data."""
    return [url for url in page.requests
            if url != page.url and not url.startswith("data:")]


NAMES = ["officer-en", "officer-ja", "patient-en", "patient-ja", "patient-evil"]


@pytest.mark.parametrize("width", [1280, 390])
@pytest.mark.parametrize("name", NAMES)
def test_it_asks_nobody_and_stays_within_its_width(chromium, pages, name, width):
    page = chromium.open(pages[name], width=width)
    assert outside(page) == []
    assert page.problems == []
    assert page.run("document.documentElement.scrollWidth") == width
    assert page.run("document.documentElement.lang") == (
        "ja" if name.endswith("ja") else "en")
    assert page.run("typeof window.owned") == "undefined"
    assert page.run("document.images.length") == 0
    # nor does anything grow out of its card, or a time break within a number
    assert page.run("[...document.querySelectorAll('.card')].filter(card => "
                    "card.scrollWidth > card.clientWidth).length") == 0
    assert page.run("[...document.querySelectorAll('.lists .when')].filter("
                    "one => one.getClientRects().length > 2).length") == 0
    page.close()


def test_the_policy_of_the_page_holds(officer):
    """What got in all the same could neither run nor tell anybody."""
    officer.run("document.body.insertAdjacentHTML('beforeend', "
                "'<img src=\"https://192.0.2.1/x.png\" onerror=\"owned=1\">')")
    officer.run("(() => { const s = document.createElement('script');"
                "s.textContent = 'window.owned = 1'; document.body.append(s);"
                "})()")
    assert officer.run("fetch('https://192.0.2.1/').then(() => 'sent', "
                       "() => 'refused')") == "refused"
    assert officer.run("typeof window.owned") == "undefined"
    assert any("Content Security Policy" in text for text in officer.problems)


def test_hostile_text_is_shown_as_text(officer):
    shown = officer.run("document.getElementById('grid').textContent")
    assert "</script><script>window.owned=1" in shown
    assert "\u202e" not in officer.run("document.body.innerText")


def test_each_figure_opens_the_records_behind_it(officer):
    count = officer.run("document.querySelectorAll('button.figure').length")
    assert count >= 14
    seen = {}
    for i in range(count):
        name, value = officer.run(
            f"(b => [b.querySelector('span').textContent,"
            f"b.querySelector('b').textContent])"
            f"(document.querySelectorAll('button.figure')[{i}])")
        officer.run(f"document.querySelectorAll('button.figure')[{i}].click()")
        seen[name] = (value, found(officer),
                      officer.run("document.activeElement.id"))
    for name in ("Accesses", "Views of images", "Failed codes", "Out of hours",
                 "Exports", "Emergency uses", "Gaps and losses",
                 "Changes to rules and accounts", "Readings of the trail"):
        value, rows, focus = seen[name]
        assert int(value) == rows and focus == "grid", name
    # denials are folded, people are counted once
    assert seen["Refused"][:2] == ("314", 3)
    assert seen["Dormant accounts"][2] == "list-dormant"


def fill(page, **fields):
    page.run("document.getElementById('filter').reset()")
    for name, value in fields.items():
        page.run(f"document.getElementById('filter').elements['{name}']"
                 f".value = '{value}'")
    page.run("document.getElementById('filter').dispatchEvent("
             "new Event('input'))")
    return found(page)


@pytest.mark.parametrize(("fields", "rows"), [
    ({"user": "yamada"}, 3),
    ({"facility": "night-desk"}, 2),
    ({"event": "denied"}, 3),
    ({"patient": "200"}, 1),
    ({"from": "2026-11-03", "to": "2026-11-04"}, 3),
    ({"user": "yamada", "patient": "100"}, 2),
    ({"text": "network"}, 2),           # a reason in words, and a note
    ({"text": "Export 198.51"}, 1),     # an action in words, and an address
    ({"text": "treatment"}, 1),         # a purpose in words
    ({"text": "window.owned"}, 2),
    ({"text": "nothing has this"}, 0),
])
def test_the_table_filters_by_everything(officer, fields, rows):
    assert fill(officer, **fields) == rows


def test_a_record_is_found_by_entry_and_by_hash(officer):
    fill(officer, user="yamada", patient="100")
    officer.run("document.querySelector('.grid-body .grid-row').click()")
    codes = officer.run("[...document.querySelectorAll('#record code')]"
                        ".map(node => node.textContent)")
    entry, leaf = codes[0], codes[-1]
    assert re.fullmatch(r"\d+", entry) and re.fullmatch(r"[0-9a-f]{64}", leaf)
    officer.run("document.querySelector('#record button').click()")
    assert officer.run("document.getElementById('record').open") is False
    assert fill(officer, text=leaf) == 1
    assert fill(officer, text="#" + entry) == 1
    assert fill(officer, text=leaf[:13]) == 1


def test_it_works_without_a_mouse(officer):
    officer.run("document.querySelector('button.figure').focus()")
    officer.key("Enter")
    assert officer.run("document.activeElement.id") == "grid"
    assert found(officer) == 5
    officer.key("End")
    last = officer.run("document.querySelector('.grid-row.active').id")
    assert last == "row-4" == officer.run(
        "grid.getAttribute('aria-activedescendant')")
    officer.key("ArrowUp")
    officer.key("Enter")
    assert officer.run("document.getElementById('record').open") is True
    officer.key("Escape")
    assert officer.run("document.getElementById('record').open") is False
    assert officer.run("document.activeElement.id") == "grid"


def test_a_condition_can_be_taken_away(officer):
    officer.run("[...document.querySelectorAll('button.figure')].find(b => "
                "b.textContent.includes('Exports')).click()")
    assert found(officer) == 1
    officer.run("document.querySelector('.chip').click()")
    assert found(officer) > 15
    assert officer.run("document.querySelectorAll('.chip').length") == 0


def test_each_chart_has_its_table(officer):
    assert officer.run("document.querySelectorAll('canvas').length") == \
        officer.run("document.querySelectorAll('#charts details table').length")
    assert officer.run("[...document.querySelectorAll('canvas')].every(c => "
                       "c.getAttribute('aria-label').length > 20)")


def test_paper_is_a4_and_has_the_records(chromium, pages, tmp_path):
    for name in ("officer-en", "patient-ja"):
        page = chromium.open(pages[name])
        page.pdf(tmp_path / "out.pdf")
        pdf = (tmp_path / "out.pdf").read_bytes()
        sizes = set(re.findall(rb"/MediaBox \[0 0 ([\d.]+) ([\d.]+)\]", pdf))
        assert sizes  # 210 by 297 millimetres, in points
        assert all(abs(float(width) - 595.3) < 1.5
                   and abs(float(height) - 841.9) < 1.5
                   for width, height in sizes)
        page.close()
    page = chromium.open(pages["officer-en"])
    page.run("dispatchEvent(new Event('beforeprint'))")
    assert page.run("document.querySelectorAll('#printed tbody tr').length") \
        == found(page)
    page.run("dispatchEvent(new Event('afterprint'))")
    assert page.run("document.querySelectorAll('#printed tr').length") == 0
    page.close()


def test_many_rows_are_all_there_and_few_are_drawn(chromium, tmp_path):
    trail = report_trail.busy(tmp_path / "busy", BUSY).write()
    page = chromium.open(make(trail, tmp_path / "busy.html", "--month",
                              "2026-11"))
    assert found(page) >= BUSY
    page.run("grid.scrollTop = 1e9")
    page.run("new Promise(done => requestAnimationFrame(() => "
             "requestAnimationFrame(done)))")
    assert page.run("document.querySelectorAll('.grid-body .grid-row').length"
                    ) < 60
    lowest = page.run("[...document.querySelectorAll('.grid-body .grid-row')]"
                      ".pop().getAttribute('aria-rowindex')")
    assert int(lowest) == found(page) + 1
    viewed = sum('"event":"access"' in line and '"user":"ito"' in line
                 for line in trail.lines)
    fill(page, user="ito")
    page.run("document.getElementById('filter').elements['event'].value = "
             "'access'")
    page.run("document.getElementById('filter').dispatchEvent("
             "new Event('input'))")
    assert found(page) == viewed
    page.close()


STEPS = {
    "officer": ["0", "document.querySelectorAll('details').forEach("
                "part => { part.open = true; })",
                "document.querySelector('button.figure').click()",
                "document.querySelector('.grid-body .grid-row').click()"],
    "patient": ["0"],
    "evidence": ["0"],
}


@pytest.mark.parametrize("width", [1280, 390])
@pytest.mark.parametrize("name", NAMES + ["evidence-en", "evidence-ja"])
def test_axe_finds_nothing(chromium, pages, axe, name, width):
    page = chromium.open(pages[name], width=width)
    for step in STEPS[name.split("-", maxsplit=1)[0]]:
        page.run(step + ";0")
        assert broken_rules(page, axe) == [], step
    page.close()


def test_axe_does_find_what_is_wrong(officer, axe):
    officer.run("document.querySelector('main').append("
                "document.createElement('img')); 0")
    assert [rule for rule, _ in broken_rules(officer, axe)] == ["image-alt"]
