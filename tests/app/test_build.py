"""How a gateway is put together: what of its configuration reaches which room."""

from pathlib import Path

from gateway.app.build import _face_settings
from gateway.config import load_settings
from tests.config.test_settings import LEAST, written


def test_how_long_calls_of_each_client_are_held_reaches_the_face(tmp_path: Path) -> None:
    text = LEAST + '[clients.a]\nowner = "a"\nhold = "90s"\n[clients.b]\nowner = "a"\n[limits]\nhold = "5s"\n'
    face = _face_settings(load_settings(written(tmp_path, text), {}), b"k")
    assert (face.hold, face.holds) == (5.0, {"a": 90.0})
