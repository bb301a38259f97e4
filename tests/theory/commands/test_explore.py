"""The explorer's page, run in a browser without a window: its numbers are those of `theory`."""

import base64
import html
import json
import os
import re
import shutil
import subprocess

import jax.numpy as jnp
import numpy as np
import pytest
from scipy.integrate import solve_ivp

from tests import reference
from theory.commands import main
from theory.commands.explore import explorer_page
from theory.dynamics.courses import gram_time_courses
from theory.dynamics.modes import mode_scales
from theory.linalg.whitening import generalized_eigenpairs
from theory.optimum.thresholds import decay_thresholds, decayed_mode, learned_modes

BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "chrome"))), None)
needs_browser = pytest.mark.skipif(BROWSER is None, reason="no Chromium is installed here")


def _document(page, tmp_path, address=""):
    """The page's document after its scripts ran."""
    path = tmp_path / "explore.html"
    path.write_text(page, encoding="utf-8")
    command = [BROWSER, "--headless", "--disable-gpu", "--disable-quic", "--no-first-run"]
    command += ["--disable-background-networking", "--disable-component-update", "--disable-sync"]
    command += ["--no-sandbox"] if os.geteuid() == 0 else []
    command += ["--window-size=390,900"]
    command += [f"--user-data-dir={tmp_path / 'profile'}", "--virtual-time-budget=20000"]
    command += ["--dump-dom", f"{path.as_uri()}{address}"]
    result = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    return result.stdout


def _numbers(document, name="numbers"):
    return json.loads(html.unescape(re.search(rf'(?s)id="{name}"[^>]*>(.*?)<', document)[1]))


def _course(row, found):
    """The course of one mode by an explicit solver of SciPy."""
    s, a, depth = row["s"], row["a"], found["depth"]

    def velocity(_, y):
        r = np.exp(y)
        return 8 * s * r ** (depth - 1) * (a - s * r**depth) - 2 * found["decay"]

    times = found["grid"]
    solved = solve_ivp(
        velocity,
        (0.0, times[-1]),
        [np.log(found["start"])],
        method="DOP853",
        t_eval=times,
        rtol=1e-13,
        atol=1e-13,
    )
    return np.exp(solved.y[0])


@needs_browser
@pytest.mark.parametrize(
    ("depth", "decay", "time"), [(1, 60, 200), (2, 100, 120), (3, 0, 90), (4, 40, 200)]
)
def test_the_pages_numbers_are_theorys(tmp_path, depth, decay, time):
    address = f"#depth={depth}&decay={decay}&time={time}&strength=1.2&start=80"
    found = _numbers(_document(explorer_page([]), tmp_path, address))
    rows = found["features"]
    s, a = (jnp.array([row[name] for row in rows]) for name in ("s", "a"))
    given = {"shape": (1.0, 0.9), "texture": (2.0, 0.6), "background": (3.0, 0.3)}
    for row in rows[:3]:
        variance, kept = given[row["name"]]
        shared = variance * kept
        np.testing.assert_allclose(row["s"], shared + 1.44 * (variance - shared), rtol=1e-14)
        np.testing.assert_allclose(row["a"], shared / row["s"], rtol=1e-14)

    def column(name):
        return np.array([row[name] for row in rows])

    weight_decay, start = float(found["decay"]), jnp.full(len(rows), found["start"])
    saddle = decay_thresholds(s, a, depth=depth).saddle_node
    np.testing.assert_allclose(column("threshold"), saddle, rtol=1e-12)
    optimum = decayed_mode(s, a, weight_decay=weight_decay, depth=depth)
    np.testing.assert_allclose(column("optimum"), optimum, rtol=1e-9, atol=1e-15)
    if weight_decay and depth > 1:
        reached = learned_modes(s, a, start, weight_decay=weight_decay, depth=depth)
        np.testing.assert_array_equal(column("end") > 0, np.asarray(reached))
    times = jnp.array(found["grid"])
    courses = gram_time_courses(
        s, a, start, times, depth=depth, weight_decay=weight_decay, relative_tolerance=1e-12
    )
    expected = np.asarray(courses).T
    if depth == 2:
        # One mode starts next to its unstable rest point and multiplies rounding by 1e5: theory's
        # implicit steps lose digits there, the page does not.
        np.testing.assert_allclose(column("course"), expected, rtol=1e-7, atol=1e-12)
        expected = [_course(row, found) for row in rows]
    np.testing.assert_allclose(column("course"), expected, rtol=2e-9, atol=1e-12)
    r = column("r")
    if time == 200:
        np.testing.assert_allclose(r, optimum, rtol=1e-9, atol=1e-15)
    np.testing.assert_allclose(column("layers")[:, -1], np.asarray(s) * r**depth, rtol=1e-12)
    np.testing.assert_allclose(column("weights")[:, -1], r**depth, rtol=1e-12)
    np.testing.assert_allclose(column("shares").sum(axis=0)[0], 1.0, rtol=1e-12)


@needs_browser
def test_a_file_opened_in_the_browser_gives_the_modes_that_theory_gives(tmp_path):
    covariance, cross_covariance = reference.random_moments(np.random.default_rng(0), 7)
    np.savez_compressed(
        tmp_path / "m.npz", covariance=covariance, cross_covariance=cross_covariance
    )
    content = base64.b64encode((tmp_path / "m.npz").read_bytes()).decode()
    script = (
        '<pre id="read"></pre><script>(async () => {'
        f' const bytes = Uint8Array.from(atob("{content}"), (c) => c.charCodeAt(0));'
        " const modes = modesOf(await readNpz(new Blob([bytes])));"
        ' document.getElementById("read").textContent = JSON.stringify(modes); })()</script>'
    )
    page = explorer_page([str(tmp_path / "m.npz")]).replace("</body>", script + "</body>")
    document = _document(page, tmp_path, "#source=1")
    found = generalized_eigenpairs(jnp.asarray(covariance), cross_covariance)
    scales = mode_scales(found)
    for modes in (
        _numbers(document, "read"),
        json.loads(_data(page))["sources"][1]["modes"],
    ):
        np.testing.assert_allclose([m["alignment"] for m in modes], found.values, rtol=1e-9)
        np.testing.assert_allclose([m["scale"] for m in modes], scales, rtol=1e-9)


def _data(page):
    return re.search(r'(?s)id="data"[^>]*>(.*?)</script>', page)[1]


@needs_browser
def test_nothing_is_wider_than_a_phone_and_words_answer(tmp_path):
    script = (
        '<pre id="width"></pre><script>document.getElementById("width").textContent ='
        " JSON.stringify([document.documentElement.scrollWidth, innerWidth])</script>"
    )
    page = explorer_page([]).replace("</body>", script + "</body>")
    document = _document(page, tmp_path, "#feature=1&decay=160&depth=2")
    wide, shown = _numbers(document, "width")
    assert wide <= shown
    assert "Weight decay has removed" in document


def test_the_page_needs_no_network_and_bad_input_is_refused(tmp_path, capsys):
    page = explorer_page([])
    assert "__DATA__" not in page
    assert not re.search(r'(src|href)="', page)
    out = tmp_path / "page.html"
    assert main(["explore", "--out", str(out)]) == 0
    assert out.read_text(encoding="utf-8") == page
    for arguments, word in (
        (["--out", str(tmp_path / "page.png")], ".html"),
        (["--out", str(tmp_path / "none" / "page.html")], "folder"),
        ([str(tmp_path / "none.npz"), "--out", str(out)], "none.npz"),
        (["--out", str(out), "--modes", "0"], "modes is 0"),
    ):
        assert main(["explore", *arguments]) == 2
        assert word in capsys.readouterr().err
    assert sorted(path.name for path in tmp_path.iterdir()) == ["page.html"]
